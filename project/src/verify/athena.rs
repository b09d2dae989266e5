//! What a query that Athena is to run asks of its project: a placement on AWS, and tables of what it reads. Checked arcs
//! flow in, problems flow out.

use manifests::{ArcSpec, DatasetId, MAIN_ROLE};

use super::arc::DraftArc;
use super::fields::Problems;
use crate::file::Placement;

/// Reports queries that Athena cannot run here.
pub fn check(arcs: &[ArcSpec], drafts: &[DraftArc], placement: &Placement, problems: &Problems) {
    for arc in arcs.iter().filter(|arc| arcs::workload::is_athena(arc)) {
        let Some(draft) = drafts.iter().find(|draft| draft.name == arc.id.arc) else { continue };
        if matches!(placement, Placement::Local { .. }) {
            let fix = Some("leave it out: the worker runs the query itself".to_owned());
            problems.add_fix(format!("{}.workload.engine", draft.path), "there is no Athena on a local placement", fix);
            continue;
        }
        for source in arc.sources.iter().filter(|source| !has_table(arcs, &source.dataset.id())) {
            let message = format!(
                "Athena has no table of `{}`: it has those of the main sinks of this project's convert and query arcs",
                source.dataset.name
            );
            let fix = Some("leave `engine` out of the workload, or let an arc of this project write what is read".to_owned());
            problems.add_fix(format!("{}.sources.{}", draft.path, source.role), message, fix);
        }
    }
}

fn has_table(arcs: &[ArcSpec], id: &DatasetId) -> bool {
    let tables = arcs.iter().filter(|arc| matches!(arc.kind.as_str(), "convert" | "query"));
    tables.flat_map(|arc| &arc.sinks).any(|sink| sink.role == MAIN_ROLE && sink.dataset.id() == *id)
}
