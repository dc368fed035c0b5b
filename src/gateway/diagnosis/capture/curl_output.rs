//! The output of `curl -v` and of `curl --trace-ascii`.

use super::Capture;
use super::raw;
use super::text::lines;
use hyper::HeaderMap;

/// Reads the last request of the output; `None` if this is not curl's output.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<Capture, String>> {
    if bytes.windows(14).any(|window| window == b"=> Send header") {
        return Some(parse_trace(bytes));
    }
    let is_quoted = lines(bytes).all(|line| line.starts_with(b">") || line.is_empty());
    let is_verbose = !is_quoted
        && lines(bytes).any(|line| {
            line.strip_prefix(b"> ")
                .is_some_and(|line| raw::request_line(line).is_some_and(|(.., has_version)| has_version))
        });
    is_verbose.then(|| parse_verbose(bytes))
}

/// Reads the lines that begin with `> ` and belong to the last request; curl's other lines are skipped.
fn parse_verbose(bytes: &[u8]) -> Result<Capture, String> {
    let mut capture: Option<Capture> = None;
    for line in lines(bytes).filter_map(|line| line.strip_prefix(b"> ")) {
        if let Some((method, target, _, true)) = raw::request_line(line) {
            let mut next = Capture::new("output of curl -v", HeaderMap::new());
            next.method = Some(method);
            next.target = Some(target);
            capture = Some(next);
        } else if let Some(capture) = capture.as_mut().filter(|_| !line.is_empty()) {
            let (name, value) = raw::field(line).ok_or("a header line of curl is not `Name: value`")?;
            capture.headers.append(name, value);
        }
    }
    capture.ok_or_else(|| "the output of curl has no request line".into())
}

/// Reads the blocks `=> Send header` and `=> Send data` of the last request. Each line shows its offset; a gap of two
/// bytes between lines is a line end that curl does not show.
fn parse_trace(bytes: &[u8]) -> Result<Capture, String> {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    let mut into: Option<&mut Vec<u8>> = None;
    let mut is_data = false;
    let mut start = 0;
    let mut size = 0;
    let is_hex = lines(bytes).any(|line| hex_line(line).is_some());
    for line in lines(bytes).map(without_time) {
        if line.starts_with(b"=> Send ") {
            let sends_data = line.starts_with(b"=> Send data");
            pad(into.take(), start, size);
            if !sends_data && is_data {
                head.clear();
                body.clear();
            }
            is_data = sends_data;
            let into_block = if is_data { &mut body } else { &mut head };
            start = into_block.len();
            size = declared_size(line);
            into = Some(into_block);
            continue;
        }
        if line.starts_with(b"<= ") || line.starts_with(b"== ") || line.starts_with(b"=> ") {
            pad(into.take(), start, size);
            continue;
        }
        if is_hex {
            if let Some((block, bytes)) = into.as_deref_mut().zip(hex_line(line)) {
                block.extend_from_slice(&bytes);
            }
            continue;
        }
        let Some((block, (offset, text))) = into.as_deref_mut().zip(offset_line(line)) else {
            continue;
        };
        pad(Some(block), start, offset);
        block.extend_from_slice(text);
    }
    pad(into, start, size);
    let request = [head, body].concat();
    let mut capture = raw::parse(&request)?;
    capture.hides_bytes = !is_hex;
    capture.format = if is_hex {
        "output of curl --trace"
    } else {
        "output of curl --trace-ascii"
    };
    Ok(capture)
}

/// The line without the time that `--trace-time` writes before curl's own lines.
fn without_time(line: &[u8]) -> &[u8] {
    let is_time = line
        .get(..8)
        .is_some_and(|time| time.iter().all(|byte| byte.is_ascii_digit() || *byte == b':'));
    let end = line.iter().position(|byte| *byte == b' ').filter(|_| is_time);
    end.and_then(|end| line.get(end + 1..)).unwrap_or(line)
}

/// The bytes of a line of `--trace`: an offset, pairs of hexadecimal digits, and the same as text.
fn hex_line(line: &[u8]) -> Option<Vec<u8>> {
    let (_, text) = offset_line(line)?;
    let text = text.get(..48.min(text.len()))?;
    let mut bytes = Vec::new();
    for pair in text.trim_ascii_end().split(|byte| *byte == b' ') {
        let &[high, low] = pair else { return None };
        bytes.push(crate::http::percent::hex_pair(high, low)?);
    }
    Some(bytes)
}

/// Adds the line end that is missing before `offset` of a block that begins at `start`.
fn pad(block: Option<&mut Vec<u8>>, start: usize, offset: usize) {
    if let Some(block) = block {
        while block.len() + 2 <= start + offset && block.len() + 8 > start + offset {
            block.extend_from_slice(b"\r\n");
        }
    }
}

/// The size in `=> Send data, 80 bytes (0x50)`.
fn declared_size(line: &[u8]) -> usize {
    let text = String::from_utf8_lossy(line);
    let digits = text.split(", ").nth(1).and_then(|rest| rest.split(' ').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Offset and text of a line such as `004c: Host: a.example`.
fn offset_line(line: &[u8]) -> Option<(usize, &[u8])> {
    let offset = std::str::from_utf8(line.get(..4)?).ok()?;
    let text = line.get(4..)?.strip_prefix(b": ")?;
    Some((usize::from_str_radix(offset, 16).ok()?, text))
}
