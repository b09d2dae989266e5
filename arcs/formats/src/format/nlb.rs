//! Access logs of Network Load Balancers, which are of their TLS listeners alone. A line flows in; the fields of a
//! connection flow out, addresses apart from their ports.
//!
//! No field holds a space: what a client wrote is URL-encoded. Times name no zone and are UTC. Version 1.0 stops at the
//! domain name, others before the time at which the connection was opened.

use memchr::memchr_iter;

use crate::columns::{Kind, Row};
use crate::format::elb::Fields;
use crate::format::fields::surplus_json;
use crate::format::{Column, Example, Fixed, Format, Parsed, Reject, Values};

/// The format.
pub static FORMAT: Format = Format {
    name: "nlb",
    summary: "Access logs of AWS Network Load Balancers with TLS listeners",
    page: "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("type", Text, "", Repeating, "type of the listener: tls"),
    Column::fixed("version", Text, "", Repeating, "version of the line"),
    Column::fixed("time", Time, "", Repeating, "when the connection ended"),
    Column::fixed("elb", Text, "", Repeating, "resource id of the load balancer"),
    Column::fixed("listener", Text, "", Repeating, "resource id of the listener"),
    Column::fixed("client_ip", Text, "", Repeating, "address of the client"),
    Column::fixed("client_port", Int32, "", Distinct, "port of the client"),
    Column::fixed("destination_ip", Text, "", Repeating, "address of the listener, or of the VPC endpoint that the client used"),
    Column::fixed("destination_port", Int32, "", Repeating, "port of the listener"),
    Column::fixed("connection_time", Int64, "ms", Repeating, "from the start of the connection until it was closed"),
    Column::fixed(
        "tls_handshake_time",
        Int64,
        "ms",
        Repeating,
        "duration of the TLS handshake, with the delays of the client; null if there was none",
    ),
    Column::fixed("received_bytes", Int64, "bytes", Repeating, "bytes from the client, decrypted"),
    Column::fixed("sent_bytes", Int64, "bytes", Repeating, "bytes to the client, before encryption"),
    Column::fixed("incoming_tls_alert", Int32, "", Repeating, "TLS alert of the client; null if it sent none"),
    Column::fixed("chosen_cert_arn", Text, "", Repeating, "ARN of the certificate that was shown; null without a valid client hello"),
    Column::fixed("chosen_cert_serial", Text, "", Repeating, "reserved; always null so far"),
    Column::fixed("tls_cipher", Text, "", Repeating, "cipher suite, as OpenSSL names it; null if the handshake failed"),
    Column::fixed("tls_protocol_version", Text, "", Repeating, "TLS version, such as tlsv12; null if the handshake failed"),
    Column::fixed("tls_named_group", Text, "", Repeating, "named group of the key exchange, where it is written"),
    Column::fixed("domain_name", Text, "", Repeating, "server name of the client hello, URL-encoded; null if there was none"),
    Column::fixed("alpn_fe_protocol", Text, "", Repeating, "application protocol agreed with the client; null without ALPN"),
    Column::fixed("alpn_be_protocol", Text, "", Repeating, "application protocol agreed with the target; null without ALPN"),
    Column::fixed(
        "alpn_client_preference_list",
        Text,
        "",
        Repeating,
        "application protocols of the client hello, URL-encoded, each in quotes, separated by commas; null without ALPN",
    ),
    Column::fixed("tls_connection_creation_time", Time, "", Repeating, "when the connection was opened; null in older lines"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "tls 2.0 2026-02-06T02:59:40 net/front/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.3:51341 10.0.0.185:443 5 2 98 246 - arn:aws:acm:us-east-2:123456789012:certificate/2a108f19 - ECDHE-RSA-AES128-SHA tlsv12 - front.example.org h2 h2 \"h2\",\"http/1.1\" 2026-02-06T02:59:30",
    ),
    Example::plain(
        "tls 2.0 2026-02-06T02:59:40 net/front/c6e77e28c25b2234 g3d4b5e8bb8464cd 2001:db8::1:51341 10.0.0.185:443 5 - 0 0 46 - - - - - - - - -",
    ),
    Example::plain(
        "tls 1.0 2019-02-06T02:59:40 net/front/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.3:51341 10.0.0.185:443 5 2 98 246 - arn:aws:acm:us-east-2:123456789012:certificate/2a108f19 - ECDHE-RSA-AES128-SHA tlsv12 - front.example.org",
    ),
];

const VERSION: usize = 1;
const CLIENT_IP: usize = 5;
const DESTINATION_IP: usize = 7;
/// The last field that every version has.
const TLS_NAMED_GROUP: usize = 18;

fn parse(line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let line = line.trim_ascii_end();
    let mut fields = Fields::new(COLUMNS, line, 0);
    let mut column = 0;
    while column < COLUMNS.len() {
        if column > TLS_NAMED_GROUP && fields.is_over() {
            return Ok(Parsed::Row);
        }
        if column == VERSION && !is_version(fields.rest()) {
            return Err(Reject::new(fields.at, "the second field is no version like 2.0: no line of a Network Load Balancer"));
        }
        if column == CLIENT_IP || column == DESTINATION_IP {
            fields.set_address(row, column)?;
            column += 2;
        } else {
            fields.set(row, column)?;
            column += 1;
        }
    }
    if !fields.is_over() {
        row.set_extra(&surplus_json(fields.rest()));
    }
    Ok(Parsed::Row)
}

/// Whether a text starts with digits, a point and digits.
fn is_version(text: &[u8]) -> bool {
    let word = &text[..memchr_iter(b' ', text).next().unwrap_or(text.len())];
    matches!(word, [b'0'..=b'9', .., b'0'..=b'9'])
        && word.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && memchr_iter(b'.', word).count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::first;
    use expect_test::{Expect, expect};

    fn check(line: &str, expected: Expect) {
        expected.assert_eq(&first(Fixed::grammar(COLUMNS, parse).unwrap().as_ref(), 0, line));
    }

    #[test]
    fn lines_of_every_version() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                row
                  type: tls
                  version: 2.0
                  time: 2026-02-06T02:59:40Z
                  elb: net/front/c6e77e28c25b2234
                  listener: g3d4b5e8bb8464cd
                  client_ip: 192.0.2.3
                  client_port: 51341
                  destination_ip: 10.0.0.185
                  destination_port: 443
                  connection_time: 5
                  tls_handshake_time: 2
                  received_bytes: 98
                  sent_bytes: 246
                  chosen_cert_arn: arn:aws:acm:us-east-2:123456789012:certificate/2a108f19
                  tls_cipher: ECDHE-RSA-AES128-SHA
                  tls_protocol_version: tlsv12
                  domain_name: front.example.org
                  alpn_fe_protocol: h2
                  alpn_be_protocol: h2
                  alpn_client_preference_list: "h2","http/1.1"
                  tls_connection_creation_time: 2026-02-06T02:59:30Z
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  type: tls
                  version: 2.0
                  time: 2026-02-06T02:59:40Z
                  elb: net/front/c6e77e28c25b2234
                  listener: g3d4b5e8bb8464cd
                  client_ip: 2001:db8::1
                  client_port: 51341
                  destination_ip: 10.0.0.185
                  destination_port: 443
                  connection_time: 5
                  received_bytes: 0
                  sent_bytes: 0
                  incoming_tls_alert: 46
            "#]],
        );
        check(
            EXAMPLES[2].text,
            expect![[r#"
                row
                  type: tls
                  version: 1.0
                  time: 2019-02-06T02:59:40Z
                  elb: net/front/c6e77e28c25b2234
                  listener: g3d4b5e8bb8464cd
                  client_ip: 192.0.2.3
                  client_port: 51341
                  destination_ip: 10.0.0.185
                  destination_port: 443
                  connection_time: 5
                  tls_handshake_time: 2
                  received_bytes: 98
                  sent_bytes: 246
                  chosen_cert_arn: arn:aws:acm:us-east-2:123456789012:certificate/2a108f19
                  tls_cipher: ECDHE-RSA-AES128-SHA
                  tls_protocol_version: tlsv12
                  domain_name: front.example.org
            "#]],
        );
        check(
            &format!("{} new fields", EXAMPLES[0].text),
            expect![[r#"
                row
                  type: tls
                  version: 2.0
                  time: 2026-02-06T02:59:40Z
                  elb: net/front/c6e77e28c25b2234
                  listener: g3d4b5e8bb8464cd
                  client_ip: 192.0.2.3
                  client_port: 51341
                  destination_ip: 10.0.0.185
                  destination_port: 443
                  connection_time: 5
                  tls_handshake_time: 2
                  received_bytes: 98
                  sent_bytes: 246
                  chosen_cert_arn: arn:aws:acm:us-east-2:123456789012:certificate/2a108f19
                  tls_cipher: ECDHE-RSA-AES128-SHA
                  tls_protocol_version: tlsv12
                  domain_name: front.example.org
                  alpn_fe_protocol: h2
                  alpn_be_protocol: h2
                  alpn_client_preference_list: "h2","http/1.1"
                  tls_connection_creation_time: 2026-02-06T02:59:30Z
                  extra: ["new","fields"]
            "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "tls",
            expect![[r#"
            reject at 3 ``: the second field is no version like 2.0: no line of a Network Load Balancer
        "#]],
        );
        check(
            "https 2026-02-06T00:00:38.186641Z app/front/50dc",
            expect![[r#"
            reject at 6 `2026-02-06T00:00:38.186641Z app/front/50`: the second field is no version like 2.0: no line of a Network Load Balancer
        "#]],
        );
        check(
            "tls 2.0 2026-02-06T02:59:40 net/front/c6e7 g3d4 192.0.2.3:51341 10.0.0.185:443 5 2 9.8 246",
            expect![[r#"
            reject at 83 `9.8 246`: `received_bytes` is no integer
        "#]],
        );
        check(
            "tls 2.0 2026-02-06T02:59:40 net/front/c6e7 g3d4 192.0.2.3:51341 10.0.0.185:443 5 2 98 246 - - -",
            expect![[r#"
            reject at 95 ``: the line ends before its `tls_cipher`
        "#]],
        );
        check(
            &EXAMPLES[1].text.replace(" 46 ", "  "),
            expect![[r#"
            reject at 113 ` - - - - - - - - -`: a field is empty: two spaces in a row
        "#]],
        );
    }
}
