//! Columns that stay what they are from lot to lot: what a dataset has learned and a conversion's sources flow in, the
//! conversion with its columns settled flows out. What is new is written down before any file is.

use manifests::{Dataset, MAIN_ROLE, Stores};

use crate::convert::{ConvertJob, heads};
use crate::error::ArcsError;
use crate::workload::RunInput;

/// Times that another lot may be first with what it learned.
const TRIES_MAX: usize = 100;

/// What a conversion reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Objects.
    Objects,
    /// Rejects.
    Rejects,
    /// Rejects, and nothing may be written.
    RejectsToCount,
}

/// The conversion with columns that fit those of the dataset's other lots. One whose columns are known, or cannot clash,
/// stays as it is.
pub(crate) async fn settled(input: &RunInput<'_>, job: ConvertJob, reading: Reading) -> Result<ConvertJob, ArcsError> {
    let main = input.arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE);
    let Some(main) = main.filter(|_| job.grammar.inferred(&[]).is_some()) else { return Ok(job) };
    let heads = heads(&job, reading != Reading::Objects).await?;
    let heads: Vec<&[u8]> = heads.iter().map(Vec::as_slice).collect();
    for _ in 0..TRIES_MAX {
        if let Some(job) = attempt(&input.context.stores, &main.dataset, &job, &heads, reading).await? {
            return Ok(job);
        }
    }
    let message = format!("other lots of {} learn columns all the time", main.dataset.id());
    Err(ArcsError::Work { message, is_transient: true })
}

/// One try; `None` where another lot was first.
async fn attempt(
    stores: &Stores,
    dataset: &Dataset,
    job: &ConvertJob,
    heads: &[&[u8]],
    reading: Reading,
) -> Result<Option<ConvertJob>, ArcsError> {
    let id = dataset.id();
    let (number, known) = stores.learned_columns(&id).await?;
    let Some(grammar) = job.grammar.inferred_after(&known, heads) else { return Ok(Some(job.clone())) };
    let learned = grammar.learned();
    let is_settled = learned == known || reading == Reading::RejectsToCount || stores.learn_columns(&id, number + 1, &learned).await?;
    let settled = if learned.is_empty() { job.grammar.clone() } else { grammar.into() };
    Ok(is_settled.then(|| ConvertJob { grammar: settled, ..job.clone() }))
}
