//! The variables that nginx writes into its logs: a name flows in, how its value is written and what it means flow out.
//! Names that are not listed are headers, cookies and arguments by their prefix, or variables that the configuration sets:
//! they are text.

use std::borrow::Cow;

use super::web_template::{Holds, Value};
use super::web_value::{Reading, Writes};
use super::{TIME_COLUMN, Values, strftime};

/// How the value of a variable is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Text without spaces.
    Word,
    /// An address or a host, which may hold colons.
    Host,
    /// Text that may be empty and hold anything.
    Text,
    /// An id that people search for.
    Id,
    /// A word that may be empty.
    Flag,
    Integer,
    Decimal,
    Status,
    List,
    Request,
}

use Shape::{Decimal, Flag, Host, Id, Integer, List, Request, Status, Text, Word};

/// Name, shape, unit and meaning.
const KNOWN: &[(&str, Shape, &str, &str)] = &[
    ("remote_addr", Host, "", "address of the client"),
    ("remote_port", Integer, "", "port of the client"),
    ("remote_user", Text, "", "user of basic authentication; null if there was none"),
    ("request", Request, "", "request line as the client sent it; null if there was none"),
    ("status", Status, "", "HTTP status of the response"),
    ("body_bytes_sent", Integer, "bytes", "bytes of the response without its header"),
    ("bytes_sent", Integer, "bytes", "bytes of the response"),
    ("request_length", Integer, "bytes", "bytes of the request with its line and header"),
    ("request_time", Decimal, "s", "time from the first byte of the request to the last byte of the response"),
    ("request_method", Word, "", "method of the request"),
    ("request_uri", Text, "", "target of the request as the client sent it, with its arguments"),
    ("uri", Text, "", "path of the request after rewrites, decoded"),
    ("document_uri", Text, "", "path of the request after rewrites, decoded"),
    ("args", Text, "", "arguments of the request; null if there are none"),
    ("query_string", Text, "", "arguments of the request; null if there are none"),
    ("is_args", Flag, "", "? if the request has arguments, else empty"),
    ("scheme", Word, "", "http or https"),
    ("server_protocol", Word, "", "protocol of the request"),
    ("server_name", Host, "", "name of the server that took the request"),
    ("server_addr", Host, "", "address of the server that took the request"),
    ("server_port", Integer, "", "port of the server that took the request"),
    ("host", Host, "", "host of the request line or of the Host header, or the name of the server"),
    ("hostname", Word, "", "name of the machine"),
    ("request_id", Id, "", "id that nginx gave the request"),
    ("trace_id", Id, "", "id of the trace that the request belongs to"),
    ("span_id", Id, "", "id of the span that the request is"),
    ("request_completion", Flag, "", "OK if the request was completed, else empty"),
    ("request_body", Text, "", "body of the request"),
    ("request_filename", Text, "", "file that the request was for"),
    ("connection", Integer, "", "serial number of the connection"),
    ("connection_requests", Integer, "", "requests made through the connection so far"),
    ("connection_time", Decimal, "s", "age of the connection"),
    ("content_length", Integer, "bytes", "Content-Length header of the request"),
    ("content_type", Text, "", "Content-Type header of the request"),
    ("pid", Integer, "", "process that served the request"),
    ("pipe", Word, "", "p if the request was pipelined, . if not"),
    ("gzip_ratio", Decimal, "", "compression ratio of the response; null if it was not compressed"),
    ("https", Flag, "", "on if the connection is encrypted, else empty"),
    ("limit_rate", Integer, "bytes/s", "limit of the response's rate"),
    ("nginx_version", Word, "", "version of nginx"),
    ("proxy_protocol_addr", Host, "", "address of the client by the PROXY protocol"),
    ("proxy_protocol_port", Integer, "", "port of the client by the PROXY protocol"),
    ("realip_remote_addr", Host, "", "address of the peer of the connection, which may be a proxy"),
    ("realip_remote_port", Integer, "", "port of the peer of the connection, which may be a proxy"),
    ("tcpinfo_rtt", Integer, "us", "round trip time of the connection"),
    ("tcpinfo_rttvar", Integer, "us", "variation of the connection's round trip time"),
    ("tcpinfo_snd_cwnd", Integer, "", "congestion window of the connection"),
    ("tcpinfo_rcv_space", Integer, "bytes", "receive buffer of the connection"),
    ("ssl_protocol", Word, "", "TLS version; null for HTTP"),
    ("ssl_cipher", Word, "", "TLS cipher; null for HTTP"),
    ("ssl_server_name", Host, "", "server name that the client asked for in TLS"),
    ("ssl_session_reused", Word, "", "r if the TLS session was reused, . if not"),
    ("sent_http_content_length", Integer, "bytes", "Content-Length header of the response"),
    ("http_x_forwarded_for", List, "", "X-Forwarded-For header of the request: the client and the proxies on the way"),
    ("proxy_add_x_forwarded_for", List, "", "X-Forwarded-For header of the request with the client's address added"),
    ("upstream_addr", List, "", "upstream servers that were asked, in order"),
    ("upstream_status", List, "", "HTTP status of each upstream server that was asked"),
    ("upstream_bytes_received", List, "", "bytes received from each upstream server that was asked"),
    ("upstream_bytes_sent", List, "", "bytes sent to each upstream server that was asked"),
    ("upstream_response_length", List, "", "bytes of the response of each upstream server that was asked"),
    ("upstream_connect_time", List, "", "seconds to connect to each upstream server that was asked"),
    ("upstream_header_time", List, "", "seconds to the response header of each upstream server that was asked"),
    ("upstream_response_time", List, "", "seconds to the whole response of each upstream server that was asked"),
    ("upstream_first_byte_time", List, "", "seconds to the first byte of each upstream server that was asked"),
    ("upstream_session_time", List, "", "seconds of the session with each upstream server that was asked"),
    ("upstream_queue_time", List, "", "seconds that the request waited for each upstream server"),
    (
        "upstream_cache_status",
        Word,
        "",
        "how the cache served: MISS, BYPASS, EXPIRED, STALE, UPDATING, REVALIDATED or HIT; null if it was not asked",
    ),
];

/// Prefixes of names, and what a name with it is.
const FAMILIES: &[(&str, &str)] = &[
    ("sent_http_", "header of the response"),
    ("sent_trailer_", "trailer of the response"),
    ("http_", "header of the request"),
    ("upstream_http_", "header of the upstream server's response"),
    ("upstream_trailer_", "trailer of the upstream server's response"),
    ("upstream_cookie_", "cookie of the upstream server's response"),
    ("cookie_", "cookie of the request"),
    ("arg_", "argument of the request"),
    ("jwt_header_", "header of the JSON Web Token"),
    ("jwt_claim_", "claim of the JSON Web Token"),
    ("ssl_client_", "property of the client's certificate"),
];

/// The times, the most precise one first: they are all the same moment.
pub(super) const TIMES: [&str; 3] = ["msec", "time_iso8601", "time_local"];

/// `$time_local`.
const LOCAL: &str = "%d/%b/%Y:%H:%M:%S %z";

/// The value of a variable. `shown` and `at` say how and where the format has it.
pub(super) fn variable(name: &str, shown: String, at: usize, writes: Writes) -> Value {
    let value = match KNOWN.iter().find(|(known, ..)| *known == name) {
        Some((_, shape, unit, meaning)) => of_shape(name, *shape, unit, Cow::Borrowed(meaning)),
        None if TIMES.contains(&name) => time(name),
        None => {
            let family = FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix));
            let meaning = family.map_or_else(
                || format!("variable ${name} of the configuration; null where it is not set"),
                |(prefix, what)| format!("{what}: {}; null if there is none", &name[prefix.len()..]),
            );
            of_shape(name, Text, "", meaning.into())
        }
    };
    Value { shown, at, is_empty_allowed: value.is_empty_allowed || writes != Writes::Escaped, ..value }
}

fn of_shape(name: &str, shape: Shape, unit: &'static str, meaning: Cow<'static, str>) -> Value {
    let reading = match shape {
        Word | Host | Text | Id | Flag => Reading::Text,
        Integer => Reading::Integer,
        Decimal => Reading::Decimal,
        Status => Reading::Status,
        List => Reading::List,
        Request => Reading::Request,
    };
    let is_distinct = matches!(name, "request" | "request_uri" | "args" | "query_string" | "request_body");
    let holds = match shape {
        Host => Holds::Colons,
        Text | Request | List => Holds::Spaces,
        _ => Holds::Word,
    };
    Value {
        shown: String::new(),
        at: 0,
        name: name.to_ascii_lowercase(),
        reading,
        unit,
        values: match shape {
            Id => Values::Identifying,
            _ if is_distinct => Values::Distinct,
            _ => Values::Repeating,
        },
        meaning,
        is_empty_allowed: matches!(shape, Text | Flag | Request),
        holds,
    }
}

fn time(name: &str) -> Value {
    let reading = match name {
        "msec" => Reading::EpochSeconds,
        "time_iso8601" => Reading::Iso,
        _ => strftime::compile_part(LOCAL).map_or(Reading::Text, |pattern| Reading::Part(pattern, 0)),
    };
    Value { reading, holds: Holds::Colons, is_empty_allowed: false, ..of_shape(name, Word, "", "when the request was done".into()) }
}

/// Names the most precise of the times as the time of the event; the others keep their names.
pub(super) fn name_time<'a>(values: impl Iterator<Item = &'a mut Value>) {
    let rank = |value: &Value| TIMES.iter().position(|time| *time == value.name);
    if let Some(best) = values.filter(|value| rank(value).is_some()).min_by_key(|value| rank(value)) {
        TIME_COLUMN.clone_into(&mut best.name);
    }
}
