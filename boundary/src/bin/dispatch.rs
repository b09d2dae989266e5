//! The dispatch function on AWS Lambda. The environment says for which project: `ARC_DEPLOYMENT` (the URI of a deployment),
//! `ARC_JOB_QUEUE` (where jobs go; none where there are no arcs) and `ARC_FAILURES_TOPIC` (where failures are told).

use std::sync::Arc;

use boundary::aws::{Deployment, DispatchFunction, Until, told};
use chrono::Utc;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use manifests::Aws;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    boundary::aws::logs::start_function();
    let aws = Aws::load(&boundary::aws::settings()).await;
    let deployment = Deployment::load(&aws.objects(), &std::env::var("ARC_DEPLOYMENT")?).await.map_err(told)?;
    let (queue, topic) = (std::env::var("ARC_JOB_QUEUE").ok(), std::env::var("ARC_FAILURES_TOPIC").ok());
    let function = &DispatchFunction::new(aws, deployment, queue.as_deref(), topic).map_err(told)?;
    let call = |event: LambdaEvent<Value>| async move {
        let until = Until::new(Arc::new(Utc::now), event.context.deadline().into());
        function.call_until(&event.payload, Utc::now(), &until).await.map_err(told)
    };
    lambda_runtime::run(service_fn(call)).await
}
