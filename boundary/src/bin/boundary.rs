//! The boundary's function on AWS Lambda. The environment says what it is the boundary of: `ARC_DEPLOYMENT` (the URI of a
//! deployment), `ARC_BOUNDARY` (a name in it) and, where there is a queue, `ARC_QUEUE_URL`.

use boundary::aws::{BoundaryFunction, Deployment, told};
use chrono::{DateTime, Utc};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use manifests::Aws;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    boundary::aws::logs::start_function();
    let aws = Aws::load(&boundary::aws::settings()).await;
    let deployment = Deployment::load(&aws.objects(), &std::env::var("ARC_DEPLOYMENT")?).await.map_err(told)?;
    let queue = std::env::var("ARC_QUEUE_URL").ok();
    let function = &BoundaryFunction::new(&aws, &deployment, &std::env::var("ARC_BOUNDARY")?, queue.as_deref()).map_err(told)?;
    let call = |event: LambdaEvent<Value>| async move {
        let deadline = DateTime::<Utc>::from(event.context.deadline());
        function.call(&event.payload, &Utc::now, deadline).await.map_err(told)
    };
    lambda_runtime::run(service_fn(call)).await
}
