//! The recipes for log collectors in `docs/monitoring.md`, held against real lines: their syntax, the names of the fields
//! and the format of the time. The collectors themselves are not run.

use crate::support::tools::{repository, run, tool};
use crate::support::{Setup, Upstream, Webhook};

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
