//! The recipes for log collectors in `docs/monitoring.md`, held against real lines: their syntax, the names of the fields
//! and the format of the time. rsyslog itself is run with its recipe.

use crate::support::tools::{repository, run, tool};
use crate::support::{Setup, Upstream, Webhook, eventually};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

/// Reads the document from its first argument and real lines from standard input.
const JUDGE: &str = r#"
import datetime, json, re, sys, yaml
text = open(sys.argv[1]).read().split('## Log collectors')[1].split('\n## ')[0]
lines = [json.loads(line) for line in sys.stdin]
known = set().union(*lines)
requests = [line for line in lines if line['kind'] == 'request']
logs = [line for line in lines if line['kind'] == 'log']
assert requests and logs
blocks = dict(re.findall(r'```\w+\n(?:#|//) ([\w.-]+)\n(.*?)```', text, re.S))
def names(fields): assert set(fields) <= known, set(fields) - known
def rfc3339(line): return datetime.datetime.strptime(line['time'], '%Y-%m-%dT%H:%M:%S.%fZ')
for line in lines: rfc3339(line)

[job] = yaml.safe_load(blocks['promtail.yaml'])['scrape_configs']
stages = {key: value for stage in job['pipeline_stages'] for key, value in stage.items()}
names(stages['json']['expressions'].values()); names(stages['labels'])
assert stages['timestamp'] == {'source': 'time', 'format': 'RFC3339Nano'}
assert set(stages['labels']) <= set(stages['json']['expressions'])

alloy = blocks['config.alloy']
assert alloy.count('{') == alloy.count('}')
for table in re.findall(r'(?:expressions|values)\s*= \{ ([^}]*) \}', alloy):
    names(re.findall(r'(\w+) = ""', table))

vector = yaml.safe_load(blocks['vector.yaml'])
source = vector['transforms']['hookgate']['source']
names(re.findall(r'del\(\.(\w+)\)', source))
names(re.findall(r'\{\{ (\w+) \}\}', json.dumps(vector['sinks'])))
assert set(vector['sinks']['loki']['inputs']) <= set(vector['transforms'])

bit = yaml.safe_load(blocks['fluent-bit.yaml'])
[parser] = bit['parsers']
names([parser['time_key']])
for line in lines: datetime.datetime.strptime(line['time'], parser['time_format'].replace('%L', '%f'))
assert bit['pipeline']['filters'][0]['parser'] == parser['name']

table = re.search(r'\| our field \|.*?\n\n', text, re.S).group(0)
mapped = set(re.findall(r'^\| `(\w+)`', table, re.M))
missing = set().union(*requests) - mapped
assert not missing, missing
for filter in re.findall(r"select\((.*?)\)'", text): names(re.findall(r'\.(\w+)', filter))
print('ok')
"#;

#[test]
fn the_recipes_for_collectors_fit_real_lines() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    gateway.wait_for_audit_lines("signature_missing", 1);
    let lines: Vec<String> = gateway.logs.objects().iter().map(ToString::to_string).collect();
    let mut judge = tool("venv/bin/python");
    judge.args(["-c", JUDGE]).arg(repository("docs/monitoring.md"));
    let output = run(&mut judge, lines.join("\n").as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The recipe as it is shipped, with its files in another folder: rsyslog gets real lines as journald passes them on, and
/// writes those that the recipe chooses, whole.
#[test]
fn rsyslog_writes_the_lines_that_its_recipe_chooses() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("allow = [\"192.0.2.0/24\"]").start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 403);
    gateway.exchange(&Webhook::new("{}").path("/\"'\\{}%").bytes());
    gateway.wait_for_audit_lines("peer_not_allowed", 1);
    gateway.wait_for_audit_lines("no_route", 1);
    let lines = gateway.logs.objects();

    let document = std::fs::read_to_string(repository("docs/monitoring.md")).unwrap();
    let (_, recipe) = document.split_once("# /etc/rsyslog.d/30-hookgate.conf\n").unwrap();
    let (recipe, _) = recipe.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let included = recipe.replace("/var/log/", &path(""));
    std::fs::write(path("30-hookgate.conf"), included).unwrap();
    let main = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{}\" RateLimit.Interval=\"0\")\n$IncludeConfig {}\n",
        folder.path().display(),
        path("log"),
        path("30-hookgate.conf")
    );
    std::fs::write(path("rsyslog.conf"), main).unwrap();
    let mut daemon = Command::new("/usr/sbin/rsyslogd")
        .args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("pid")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("rsyslogd is missing: run `make test-apps` once");
    let socket = UnixDatagram::unbound().unwrap();
    eventually("the socket of rsyslog", || socket.connect(path("log")).ok());
    for line in &lines {
        socket
            .send(format!("<30>Nov 29 11:00:00 hookgate[1]: {line}").as_bytes())
            .unwrap();
    }
    socket
        .send(b"<30>Nov 29 11:00:00 hookgate[1]: Started hookgate.service")
        .unwrap();
    let is_refused = |line: &&serde_json::Value| line["kind"] == "request" && line["verdict"] == "rejected";
    let is_warning = |line: &&serde_json::Value| {
        line["kind"] == "log" && ["WARN", "ERROR"].contains(&line["level"].as_str().unwrap())
    };
    let refused: Vec<_> = lines.iter().filter(is_refused).cloned().collect();
    let warnings: Vec<_> = lines.iter().filter(is_warning).cloned().collect();
    assert_eq!(refused.len(), 2);
    for (file, wanted) in [("hookgate-refused.json", refused), ("hookgate-warnings.json", warnings)] {
        if wanted.is_empty() {
            continue;
        }
        eventually(file, || {
            let text = std::fs::read_to_string(path(file)).ok()?;
            let written: Option<Vec<serde_json::Value>> =
                text.lines().map(|line| serde_json::from_str(line).ok()).collect();
            (written? == wanted).then_some(())
        });
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
