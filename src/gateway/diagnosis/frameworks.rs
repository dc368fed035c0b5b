//! How a person's framework gives access to the bytes of a request as they arrived.

/// The fix for a body that was parsed, where the framework is not known.
pub(super) const RAW_BODY: &str = "verify the bytes as they arrived, before any code parses them (Flask: request.get_data(), Express: express.raw(), Rails: request.raw_post, Next.js: await request.text(), Laravel: $request->getContent(), ASP.NET Core: Request.Body); `--framework NAME` shows the code of one";

/// A framework or a runtime.
struct Framework {
    /// The name of the option `--framework`.
    name: &'static str,
    /// The code that reads the raw body, and what must not run before it.
    raw_body: &'static str,
}

/// All frameworks, in alphabetical order.
const FRAMEWORKS: [Framework; 16] = [
    Framework {
        name: "aspnet",
        raw_body: "ASP.NET Core: call Request.EnableBuffering() and read Request.Body with a StreamReader before model binding, or take no [FromBody] parameter",
    },
    Framework {
        name: "django",
        raw_body: "Django: use request.body, and read it before request.POST",
    },
    Framework {
        name: "express",
        raw_body: "Express: mount express.raw({ type: '*/*' }) on the webhook's path before express.json(), and verify req.body, which is then a Buffer",
    },
    Framework {
        name: "fastapi",
        raw_body: "FastAPI, Starlette: use await request.body(), and declare no model as a parameter of the route",
    },
    Framework {
        name: "fastify",
        raw_body: "Fastify: register @fastify/raw-body (or a content type parser with parseAs: 'buffer'), and verify request.rawBody",
    },
    Framework {
        name: "flask",
        raw_body: "Flask: use request.get_data() before request.json or request.form",
    },
    Framework {
        name: "go",
        raw_body: "Go: read io.ReadAll(r.Body) first, verify these bytes, and decode the same bytes afterwards",
    },
    Framework {
        name: "koa",
        raw_body: "Koa: use the package raw-body before koa-bodyparser, or ctx.request.rawBody",
    },
    Framework {
        name: "lambda",
        raw_body: "AWS Lambda: use event.body, and decode it from Base64 if event.isBase64Encoded is true",
    },
    Framework {
        name: "laravel",
        raw_body: "Laravel: use $request->getContent(), not $request->all(), and exempt the path from TrimStrings and ConvertEmptyStringsToNull",
    },
    Framework {
        name: "nestjs",
        raw_body: "NestJS: create the application with { rawBody: true }, and verify request.rawBody",
    },
    Framework {
        name: "nextjs",
        raw_body: "Next.js: use await request.text() in a route handler, or `export const config = { api: { bodyParser: false } }` in pages/api",
    },
    Framework {
        name: "php",
        raw_body: "PHP: use file_get_contents('php://input'), not $_POST",
    },
    Framework {
        name: "rails",
        raw_body: "Rails: use request.raw_post, not params",
    },
    Framework {
        name: "spring",
        raw_body: "Spring: take @RequestBody byte[] (not String, and no object), and verify these bytes",
    },
    Framework {
        name: "wsgi",
        raw_body: "WSGI: read environ['wsgi.input'] (Flask: request.get_data(), Django: request.body) before anything parses it",
    },
];

/// The names for `--framework`.
pub fn names() -> impl Iterator<Item = &'static str> {
    FRAMEWORKS.iter().map(|framework| framework.name)
}

/// How this framework reads the raw body.
fn raw_body(name: &str) -> Option<&'static str> {
    FRAMEWORKS
        .iter()
        .find(|framework| framework.name == name)
        .map(|framework| framework.raw_body)
}

/// The fix in the words of the framework, if the fix is to verify the raw body and the framework is known.
pub(super) fn in_words_of(fix: String, framework: Option<&str>) -> String {
    match framework.and_then(raw_body) {
        Some(code) if fix == RAW_BODY => {
            format!("verify the bytes as they arrived, before any code parses them. {code}")
        }
        Some(_) | None => fix,
    }
}
