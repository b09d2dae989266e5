//! A queue of SQS. Answers of batch calls are looked at one by one: what failed alone is tried again alone.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName};
use manifests::Aws;

use super::service;
use crate::error::BoundaryError;
use crate::queue::{MESSAGES_PER_CALL, Message, Queue};

/// Tries at deleting what a batch call left.
const DELETE_TRIES: usize = 3;

fn incomplete(url: &str, error: &dyn std::error::Error) -> BoundaryError {
    BoundaryError::Service { action: "ask queue", name: url.to_owned(), reason: error.to_string(), transient: false }
}

/// A queue of SQS.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
    wait_seconds: i32,
}

impl SqsQueue {
    /// The queue of this URL. A receipt waits up to `wait_seconds` (1 to 20) for a first message, so that all of SQS's
    /// servers are asked: an answer without messages then means that there are none.
    pub fn new(aws: &Aws, url: &str, wait_seconds: i32) -> SqsQueue {
        SqsQueue { client: Client::new(aws.config()), url: url.to_owned(), wait_seconds: wait_seconds.clamp(1, 20) }
    }

    /// The queue of this name in the account of the credentials; `None` where there is none.
    pub async fn find(aws: &Aws, name: &str, wait_seconds: i32) -> Result<Option<SqsQueue>, BoundaryError> {
        match Client::new(aws.config()).get_queue_url().queue_name(name).send().await {
            Ok(answer) => Ok(answer.queue_url().map(|url| SqsQueue::new(aws, url, wait_seconds))),
            Err(error) if error.as_service_error().is_some_and(GetQueueUrlError::is_queue_does_not_exist) => Ok(None),
            Err(error) => Err(service("find queue", name, error)),
        }
    }

    /// The same queue with another wait.
    #[must_use]
    pub fn waiting(&self, wait_seconds: i32) -> SqsQueue {
        SqsQueue { wait_seconds: wait_seconds.clamp(1, 20), ..self.clone() }
    }

    /// About how many messages wait to be received.
    pub async fn depth(&self) -> Result<u64, BoundaryError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let call = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = call.send().await.map_err(|error| service("ask depth of queue", &self.url, error))?;
        Ok(answer.attributes().and_then(|all| all.get(&name)?.parse().ok()).unwrap_or(0))
    }

    /// Deletes, and gives back those that could not be deleted though the call went well.
    async fn try_delete(&self, handles: &[String]) -> Result<Vec<String>, BoundaryError> {
        let mut call = self.client.delete_message_batch().queue_url(&self.url);
        for (at, handle) in handles.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(handle).build();
            call = call.entries(entry.map_err(|error| incomplete(&self.url, &error))?);
        }
        let answer = call.send().await.map_err(|error| service("delete from queue", &self.url, error))?;
        let mut left = Vec::new();
        for failed in answer.failed() {
            // The sender's own fault is a handle that is no longer good: the message was given out again meanwhile.
            let handle = failed.id().parse().ok().and_then(|at: usize| handles.get(at)).filter(|_| !failed.sender_fault());
            left.extend(handle.cloned());
        }
        Ok(left)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        let call = self.client.receive_message().queue_url(&self.url);
        let call = call.max_number_of_messages(MESSAGES_PER_CALL as i32).wait_time_seconds(self.wait_seconds);
        let answer = call.send().await.map_err(|error| service("receive from queue", &self.url, error))?;
        let message = |message: aws_sdk_sqs::types::Message| {
            Some(Message { id: message.message_id?, handle: message.receipt_handle?, body: message.body.unwrap_or_default() })
        };
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        let mut left = handles;
        for _ in 0..DELETE_TRIES {
            left = self.try_delete(&left).await?;
            if left.is_empty() {
                return Ok(());
            }
        }
        // They come again, are found in a commit, and go then.
        tracing::warn!("{} messages could not be deleted yet", left.len());
        Ok(())
    }

    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        // What is not released is visible again when its time is over.
        self.hide(handles, 0).await
    }

    async fn hide(&self, handles: Vec<String>, seconds: u32) -> Result<(), BoundaryError> {
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let mut call = self.client.change_message_visibility_batch().queue_url(&self.url);
        for (at, handle) in handles.iter().enumerate() {
            let entry =
                ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string()).receipt_handle(handle).visibility_timeout(seconds);
            call = call.entries(entry.build().map_err(|error| incomplete(&self.url, &error))?);
        }
        call.send().await.map(|_| ()).map_err(|error| service("hide messages of queue", &self.url, error))
    }
}
