//! An S3 in this process that asks before every call whether the role at work may make it, with as much of SQS, EventBridge,
//! Batch and SNS as our programs call. Requests flow in; objects, refusals (403, as S3 answers) and a list of what was refused
//! flow out. Nobody is authenticated: whose turn it is, the test says.

mod role;
mod s3;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use role::Role;
use s3::Asked;

type Answer = Response<Full<Bytes>>;

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct Guarded {
    url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    role: Option<Role>,
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    messages: Vec<String>,
    jobs: Vec<Value>,
    told: Vec<Bytes>,
    /// What requests for paths that begin so are answered.
    refusing: Option<(String, u16, String)>,
    made: BTreeMap<String, BTreeSet<String>>,
    refused: Vec<String>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Guarded {
    /// Starts one, empty; everything is allowed until somebody's turn begins.
    pub async fn start() -> Guarded {
        let state = Arc::<Mutex<State>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Guarded { url, server: tokio::spawn(serve(listener, state.clone())), state }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it is that role's turn.
    pub fn turn_of(&self, role: Role) {
        self.state().role = Some(role);
    }

    /// Lays down an object, by `bucket/key`.
    pub fn put(&self, name: &str, body: impl Into<Bytes>) {
        self.state().objects.insert(name.to_owned(), body.into());
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Puts a message into the queue.
    pub fn send(&self, body: &Value) {
        self.state().messages.push(body.to_string());
    }

    /// The jobs that were submitted since the last look.
    pub fn jobs(&self) -> Vec<Value> {
        std::mem::take(&mut self.state().jobs)
    }

    /// The body of an object.
    pub fn body(&self, name: &str) -> Option<Bytes> {
        self.state().objects.get(name).cloned()
    }

    /// What was published to topics, as it came.
    pub fn told(&self) -> Vec<Bytes> {
        self.state().told.clone()
    }

    /// From now on all requests for a path that begins so are answered with this status and body.
    pub fn refuse(&self, path: &str, status: u16, body: &str) {
        self.state().refusing = Some((path.to_owned(), status, body.to_owned()));
    }

    /// What was refused so far: `role: action resource`.
    pub fn refused(&self) -> Vec<String> {
        self.state().refused.clone()
    }

    /// The kinds of calls that a role has made.
    pub fn made(&self, role: &str) -> Vec<String> {
        self.state().made.get(role).into_iter().flatten().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let state = state.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                    Ok::<Answer, io::Error>(state.lock().unwrap_or_else(PoisonError::into_inner).answer(&head, &body))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl State {
    fn answer(&mut self, head: &Parts, body: &Bytes) -> Answer {
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let path = head.uri.path();
        if let Some((_, status, body)) = self.refusing.as_ref().filter(|(start, ..)| path.starts_with(start)) {
            return refused(*status, body);
        }
        let action = match (target.split_once('.'), path) {
            (Some(("AmazonSQS", call)), _) => format!("sqs:{}", call.trim_end_matches("Batch")),
            (Some((_, call)), _) => format!("events:{call}"),
            (_, "/v1/listjobs") => "batch:ListJobs".to_owned(),
            (_, "/v1/submitjob") => "batch:SubmitJob".to_owned(),
            (_, "/") if body.starts_with(b"Action=Publish") => "sns:Publish".to_owned(),
            _ => return Asked::read(head, body).answer(self),
        };
        let is_allowed = self.role.as_ref().is_none_or(|role| role.may_somewhere(&action));
        match self.note(&action, "", is_allowed) {
            true if action == "sns:Publish" => {
                self.told.push(body.clone());
                text("<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>")
            }
            true => self.serve(&action, &serde_json::from_slice(body).unwrap_or_default()),
            false => refusal(403, "AccessDenied"),
        }
    }

    /// Writes down a call and whether it may be made; gives that back.
    fn note(&mut self, action: &str, resource: &str, is_allowed: bool) -> bool {
        let role = self.role.as_ref().map(|role| role.id.clone()).unwrap_or_default();
        if !is_allowed {
            self.refused.push(format!("{role}: {action} {resource}"));
        }
        self.made.entry(role).or_default().insert(action.to_owned());
        is_allowed
    }

    /// What other services answer.
    fn serve(&mut self, action: &str, body: &Value) -> Answer {
        let entries = || body["Entries"].as_array().cloned().unwrap_or_default();
        let answer = match action {
            "sqs:ReceiveMessage" => {
                let messages = std::mem::take(&mut self.messages);
                let message =
                    |(at, body): (usize, String)| json!({"MessageId": format!("m{at}"), "ReceiptHandle": format!("h{at}"), "Body": body});
                json!({"Messages": messages.into_iter().enumerate().map(message).collect::<Vec<_>>()})
            }
            "sqs:DeleteMessage" | "sqs:ChangeMessageVisibility" => {
                json!({"Successful": entries().iter().map(|entry| json!({"Id": entry["Id"]})).collect::<Vec<_>>(), "Failed": []})
            }
            "events:PutEvents" => {
                json!({"FailedEntryCount": 0, "Entries": entries().iter().map(|_| json!({"EventId": "e"})).collect::<Vec<_>>()})
            }
            "batch:ListJobs" => json!({"jobSummaryList": []}),
            "batch:SubmitJob" => {
                self.jobs.push(body.clone());
                json!({"jobName": body["jobName"], "jobId": format!("job-{}", self.jobs.len())})
            }
            _ => json!({}),
        };
        text(&answer.to_string())
    }
}

fn text(body: &str) -> Answer {
    Response::new(Full::new(Bytes::from(body.to_owned())))
}

/// What S3 says where it does nothing.
fn refusal(status: u16, code: &str) -> Answer {
    refused(status, &format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

fn refused(status: u16, body: &str) -> Answer {
    let mut answer = text(body);
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    answer
}
