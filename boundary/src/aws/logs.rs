//! Logs for machines: events flow in, one JSON object a line flows out. The functions, jobs and `arc --log-format json` all
//! write them so, and nothing else of ours decides how a line looks. What events say is their author's: never credentials,
//! never a line of somebody's log.

use lambda_runtime::tracing::Subscriber;
use lambda_runtime::tracing::subscriber::EnvFilter;
use lambda_runtime::tracing::subscriber::fmt::{MakeWriter, fmt};
use lambda_runtime::tracing::subscriber::util::SubscriberInitExt;

/// What is written where nobody says otherwise: what our crates tell, and warnings of all others.
const LEVELS: &str = "warn,lambda_runtime=info,arc=info,project=info,arcs=info,boundary=info,manifests=info";

/// The levels of `RUST_LOG`, else the usual ones of programs that nobody watches.
pub fn levels() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| LEVELS.into())
}

/// Events as JSON: `timestamp`, `level`, `message`, the fields of the event, and the span around it.
pub fn json_lines<W>(levels: EnvFilter, writer: W) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt().json().flatten_event(true).with_span_list(false).with_target(false);
    lines.with_env_filter(levels).with_writer(writer).finish()
}

/// Starts the log of a function, whose standard output is its log.
pub fn start_function() {
    json_lines(levels(), std::io::stdout).init();
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_object_whatever_it_says() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json_lines(LEVELS.into(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(lot = "20230717PT5M250", rows = 7, "two\nlines and a \" quote");
            tracing::info!(target: "hyper", "what others say is no business of ours");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let shown = ["level", "message", "lot", "rows"].map(|name| read[name].to_string());
        assert_eq!(shown, ["\"WARN\"", "\"two\\nlines and a \\\" quote\"", "\"20230717PT5M250\"", "7"]);
        assert!(read["timestamp"].is_string(), "{read}");
    }
}
