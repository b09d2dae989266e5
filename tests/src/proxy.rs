//! A proxy between this code and a server, with faults: requests flow in and are passed on, unchanged, to the server; answers
//! flow back. As a seed says it delays, cuts connections (before a request is passed on, after, in the middle of the
//! answer), passes a request on twice, or answers by itself that the server is overloaded or broken. Host and path stay as
//! they are, because signatures cover them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::seed::Seed;

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes a while.
    Delay,
    /// The connection is cut before it is passed on.
    CutBefore,
    /// The connection is cut when the server has done it.
    CutAfter,
    /// The connection is cut in the middle of the answer's body.
    CutWithin,
    /// It is passed on twice; the second answer is given.
    Twice,
    /// The server says 500 and has done nothing.
    Broken,
    /// The server says 500 and has done it.
    BrokenAfter,
    /// The server says 503 SlowDown.
    SlowDown,
    /// The server says 409 to what creates an object that must not be there, and has done nothing.
    Conflict,
    /// The same, and it has done it.
    ConflictAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: &[Fault] = &[
        Fault::Delay,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutWithin,
        Fault::Twice,
        Fault::Broken,
        Fault::BrokenAfter,
        Fault::SlowDown,
        Fault::Conflict,
        Fault::ConflictAfter,
    ];
    /// Those that a client which tries again never notices.
    pub const TRANSPARENT: &[Fault] = &[Fault::Delay, Fault::Broken, Fault::SlowDown];
}

/// The longest delay, in milliseconds.
const DELAY_MILLISECONDS_MAX: u64 = 40;
/// What S3 says while another write of the same name is under way.
const CONFLICT: &str = "ConditionalRequestConflict";

type Answer = Response<BoxBody<Bytes, io::Error>>;

/// A proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    seed: Seed,
    faults: &'static [Fault],
    /// One request in so many meets a fault; 0 for none.
    odds: u64,
    stormy: AtomicBool,
    requests: AtomicU64,
    met: AtomicU64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// Starts one before the server at `upstream`, `http://host:port`.
    pub async fn start(upstream: &str, seed: u64, faults: &'static [Fault], odds: u64) -> Proxy {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (stormy, requests, met) = (AtomicBool::new(true), AtomicU64::new(0), AtomicU64::new(0));
        let state = Arc::new(State { upstream: upstream.to_owned(), client, seed: Seed::new(seed), faults, odds, stormy, requests, met });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Proxy { url, server: tokio::spawn(serve(listener, state.clone())), state }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.state.stormy.store(false, Ordering::Relaxed);
    }

    /// Requests so far, and how many of them met a fault.
    pub fn counts(&self) -> (u64, u64) {
        (self.state.requests.load(Ordering::Relaxed), self.state.met.load(Ordering::Relaxed))
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let state = state.clone();
                async move { state.answer(request).await }
            });
            // An error is a connection that was cut, by either side.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut")
}

impl State {
    fn fault(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.stormy.load(Ordering::Relaxed) || self.odds == 0 || self.seed.roll(self.odds) != 0 {
            return None;
        }
        self.met.fetch_add(1, Ordering::Relaxed);
        self.faults.get(self.seed.place(self.faults.len())).copied()
    }

    /// Answers a request; an error cuts the connection.
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| cut())?.to_bytes();
        let fault = self.fault();
        match fault {
            Some(Fault::CutBefore) => return Err(cut()),
            Some(Fault::Broken) => return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Some(Fault::SlowDown) => return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
            Some(Fault::Conflict) if creates(&head) => return Ok(refusal(StatusCode::CONFLICT, CONFLICT)),
            Some(Fault::Delay) => tokio::time::sleep(Duration::from_millis(self.seed.roll(DELAY_MILLISECONDS_MAX))).await,
            _ => {}
        }
        let answer = self.pass(&head, &body).await?;
        match fault {
            Some(Fault::CutWithin) if is_read(&head, &answer) => Ok(self.half(answer)),
            Some(Fault::CutAfter | Fault::CutWithin) => Err(cut()),
            Some(Fault::BrokenAfter) => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Some(Fault::ConflictAfter) if creates(&head) => Ok(refusal(StatusCode::CONFLICT, CONFLICT)),
            Some(Fault::Twice) => Ok(whole(self.pass(&head, &body).await?)),
            _ => Ok(whole(answer)),
        }
    }

    /// Passes a request on and takes the whole answer.
    async fn pass(&self, head: &Parts, body: &Bytes) -> Result<Response<Bytes>, io::Error> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = format!("{}{path}", self.upstream).parse::<Uri>().map_err(io::Error::other)?;
        *request.headers_mut() = head.headers.clone();
        let (head, body) = self.client.request(request).await.map_err(io::Error::other)?.into_parts();
        Ok(Response::from_parts(head, body.collect().await.map_err(io::Error::other)?.to_bytes()))
    }

    /// The answer up to some byte of its body, of which more was promised.
    fn half(&self, answer: Response<Bytes>) -> Answer {
        let (mut head, body) = answer.into_parts();
        let kept = body.slice(..self.seed.place(body.len()));
        head.headers.remove(TRANSFER_ENCODING);
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        let frames = futures::stream::iter([Ok(Frame::data(kept)), Err(cut())]);
        Response::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
    }
}

/// Whether a request creates an object that must not be there.
fn creates(head: &Parts) -> bool {
    head.method == Method::PUT && head.headers.contains_key(IF_NONE_MATCH)
}

/// Whether an answer has a body to be cut.
fn is_read(head: &Parts, answer: &Response<Bytes>) -> bool {
    head.method != Method::HEAD && !answer.body().is_empty()
}

fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}

/// What S3 says where it does nothing.
fn refusal(status: StatusCode, code: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>Please try again.</Message></Error>");
    let mut answer = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that counts what it is asked, and the answers that a client gets through a proxy with one fault alone.
    async fn ask(faults: &'static [Fault], method: Method) -> (u64, Result<(u16, String), String>) {
        let asked = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = asked.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
                    async move { Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(format!("{number} {}", request.uri()))))) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        let proxy = Proxy::start(&url, 1, faults, 1).await;
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder().method(method).uri(format!("{}/a%20b?c=d", proxy.url()));
        let request = request.header(IF_NONE_MATCH, "*").body(Full::default()).unwrap();
        let said = match client.request(request).await {
            Err(error) => Err(error.to_string()),
            Ok(answer) => {
                let status = answer.status().as_u16();
                let body = answer.into_body().collect().await.map_err(|error| error.to_string());
                body.map(|body| (status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
            }
        };
        server.abort();
        (asked.load(Ordering::Relaxed), said)
    }

    #[tokio::test]
    async fn every_fault_is_what_its_name_says() {
        let path = |number: u32| Ok((200, format!("{number} /a%20b?c=d")));
        assert_eq!(ask(&[Fault::Delay], Method::GET).await, (1, path(1)));
        assert_eq!(ask(&[Fault::Twice], Method::GET).await, (2, path(2)));
        for (fault, asked) in [(&[Fault::CutBefore], 0), (&[Fault::CutAfter], 1), (&[Fault::CutWithin], 1)] {
            let (seen, said) = ask(fault, Method::GET).await;
            assert!(said.is_err() && seen == asked, "{fault:?}: {seen} {said:?}");
        }
        for (fault, asked) in [(&[Fault::Conflict], 0), (&[Fault::ConflictAfter], 1)] {
            assert_eq!(ask(fault, Method::GET).await, (1, path(1)), "{fault:?}: only what creates meets it");
            let (seen, said) = ask(fault, Method::PUT).await;
            assert!(seen == asked && said.is_ok_and(|(status, _)| status == 409), "{fault:?}: {seen}");
        }
        for (fault, asked, status) in [(&[Fault::Broken], 0, 500), (&[Fault::BrokenAfter], 1, 500), (&[Fault::SlowDown], 0, 503)] {
            let (seen, said) = ask(fault, Method::GET).await;
            let (found, body) = said.unwrap();
            assert!((seen, found) == (asked, status) && body.contains("<Code>"), "{fault:?}: {seen} {found} {body}");
        }
    }
}
