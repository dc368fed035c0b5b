//! Names that are chosen to reach something else than a tenant.

use super::{ACME, PLACES, put, start, webhook};
use crate::support::http2::{self, Http2};
use crate::support::paddle::now;
use crate::support::wait::eventually;
use crate::support::{Upstream, Webhook};

/// Names that no tenant can have, although files of these names exist beside and below the directory.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "..",
        ".",
        "...",
        "../outside",
        "..%2foutside",
        "..%2Foutside",
        "%2e%2e%2foutside",
        "..\\outside",
        "..%5coutside",
        "/acme",
        "//acme",
        "./acme",
        "acme/",
        "acme/../initech",
        "acme%2f..%2finitech",
        "acme%00",
        "acme%00.txt",
        "%00",
        "%61cme",
        "ac%6de",
        "ACME",
        "Acme",
        "acme.",
        ".acme",
        "acme ",
        " acme",
        "acme%20",
        "acme%0a",
        "acme%0d%0aX: y",
        "acm\u{e9}",
        "\u{430}cme",
        "acme\u{200b}",
        "\u{ff41}cme",
        "%c0%ae%c0%ae%2foutside",
        "acme:",
        "acme;x",
        "acme,initech",
        "-",
        "--",
        "*",
        "?",
        "sub/inside",
        "sub%2finside",
        "linked-directory/inside",
        "hidden",
        ".hidden",
    ]
    .map(String::from)
    .into();
    names.push("a".repeat(129));
    names.push("a".repeat(10 << 10));
    names.push("../".repeat(3_000));
    names
}

/// The webhook as a place spells the name: what a place decodes is encoded, and what it cannot carry is left out.
fn sent(place: &str, name: &str) -> Option<Webhook> {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
    match place {
        // The head of a request has 32 KiB at most; a host has no other signs.
        "path" if is_plain => {}
        "header" if name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => {}
        "query" => {
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            return (encoded.len() < 20_000).then(|| {
                let mut sent = webhook(place, "", ACME, "x");
                sent.path = format!("/by-query?tenant={encoded}");
                sent
            });
        }
        "host" if is_plain && !name.contains(['/', '%', ':', ';', ',', '*']) && name.len() < 200 => {}
        "pointer" => {}
        _ => return None,
    }
    Some(match place {
        "pointer" => {
            let body = serde_json::json!({ "account": { "id": name } }).to_string();
            Webhook::signed(body, ACME, now()).path("/by-pointer")
        }
        _ => webhook(place, name, ACME, "x"),
    })
}

/// A name in a request is never used as a path, is compared byte for byte, and none that cannot be a tenant's reaches one:
/// over HTTP/1.1 and HTTP/2, in every place.
#[test]
fn hostile_names_choose_nobody() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    std::fs::write(directory.join("..").join("outside"), ACME).unwrap();
    std::fs::write(directory.join(".hidden"), ACME).unwrap();
    std::fs::create_dir(directory.join("sub")).unwrap();
    std::fs::write(directory.join("sub").join("inside"), ACME).unwrap();
    std::os::unix::fs::symlink(directory.join("sub"), directory.join("linked-directory")).unwrap();
    // A file of this name would be found where hostile names are replaced by a name that a tenant can have.
    put(&directory, "-.", ACME);
    let mut number = 0;
    for place in PLACES {
        for name in names() {
            // The letters of a host have no case.
            let folds = place == "host" && name.eq_ignore_ascii_case("acme");
            // Spaces around the value of a header are not part of it.
            let trims = place == "header" && name.trim() == "acme";
            let Some(sent) = sent(place, &name).filter(|_| !folds && !trims) else {
                continue;
            };
            number += 1;
            let response = gateway.exchange(&sent.bytes());
            assert!((400..500).contains(&response.status), "{place} {name:?}: {response:?}");
        }
    }
    assert!(number > 100, "{number}");
    http2::run(async {
        let mut client = Http2::connect(&gateway).await;
        for place in ["path", "header", "query", "pointer"] {
            for name in names() {
                let Some(sent) = sent(place, &name).filter(|_| place != "header" || name.trim() != "acme") else {
                    continue;
                };
                let answer = client.exchange(&sent).await;
                let status = answer.map(|answer| answer.status);
                assert!(matches!(status, Ok(400..500)), "{place} {name:?}: {status:?}");
            }
        }
    });
    upstream.assert_untouched();
    // What was hostile is not in the metrics, and the gateway works.
    assert_eq!(
        gateway.exchange(&webhook("path", "acme", ACME, "after").bytes()).status,
        200
    );
}

/// Where a name that no tenant can have is replaced, it is not replaced by one that a tenant has.
#[test]
fn a_tenant_with_a_strange_name_is_chosen_by_its_name_alone() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    for name in ["-", "_", "a.b", "0"] {
        put(&directory, name, ACME);
        eventually("the tenant is known", || {
            let text = format!("{name} {}", upstream.requests().len());
            (gateway.exchange(&webhook("header", name, ACME, &text).bytes()).status == 200).then_some(())
        });
    }
    let before = upstream.requests().len();
    for name in ["../x", "", ".", "a/b", "-\u{e9}"] {
        let Some(sent) = sent("pointer", name) else { continue };
        assert_eq!(
            gateway.exchange(&sent.bytes()).reason(),
            "signature_mismatch",
            "{name:?}"
        );
    }
    assert_eq!(upstream.requests().len(), before);
}

/// Links to files are followed, because Kubernetes mounts secrets so; what they lead to must be a file.
#[test]
fn a_link_is_a_tenant_if_it_leads_to_a_file() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    let data = directory.join("..").join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("secret"), ACME).unwrap();
    let link = |target: &std::path::Path, name: &str| std::os::unix::fs::symlink(target, directory.join(name)).unwrap();
    link(&directory.join("broken-target"), "broken");
    link(&directory.join("loop"), "loop");
    link(&data, "folder");
    link(std::path::Path::new("/dev/zero"), "device");
    link(&data.join("secret"), "linked");
    let mut number = 0;
    let mut status = |name: &str| {
        number += 1;
        gateway
            .exchange(&webhook("header", name, ACME, &number.to_string()).bytes())
            .status
    };
    eventually("the linked tenant is known", || (status("linked") == 200).then_some(()));
    for name in ["broken", "loop", "folder", "device"] {
        assert_eq!(status(name), 401, "{name}");
    }
}
