//! Names that differ in the file and not on AWS. What was read of a file flows in, problems flow out.

use std::collections::BTreeMap;

use manifests::MAIN_ROLE;

use super::aws::Deployment;
use super::fields::Problems;
use crate::synth::logical;

/// Names that AWS does not tell apart: those of roles have no case, ids in templates have letters and digits alone.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    for list in ["resources", "boundaries", "arcs", "activities"] {
        let mut known: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for (path, entry) in deployment.list(list).filter(|(_, entry)| entry["exclude"] != true) {
            let Some(name) = entry["name"].as_str() else { continue };
            match known.get(&logical(name).to_lowercase()) {
                // The very same name is reported by itself.
                Some((first, at)) if *first != name => {
                    let message = format!("`{name}` and `{first}` ({at}) would be one name on AWS");
                    problems.add_fix(format!("{path}.name"), message, Some("let them differ in more than case and punctuation".to_owned()));
                }
                Some(_) => {}
                None => drop(known.insert(logical(name).to_lowercase(), (name, path))),
            }
        }
    }
    check_queues(deployment, problems);
    check_definitions(deployment, problems);
    check_tables(deployment, problems);
}

fn check_queues(deployment: &Deployment<'_>, problems: &Problems) {
    let names = &deployment.names;
    for (path, boundary) in deployment.boundaries {
        let own = names.queue(&boundary.name);
        let is_taken = own == names.undelivered() || deployment.boundaries.iter().any(|(_, other)| names.dead_letters(&other.name) == own);
        if is_taken {
            problems.add(format!("{path}.name"), format!("makes a queue `{own}`, which is the name of a queue of dead letters"));
        }
    }
}

fn check_definitions(deployment: &Deployment<'_>, problems: &Problems) {
    let names = &deployment.names;
    let activities = deployment.list("activities").filter_map(|(_, entry)| entry["name"].as_str());
    let taken: Vec<String> = activities.map(|name| names.activity_definition(name)).collect();
    for draft in deployment.drafts.iter().filter(|draft| taken.contains(&names.job_definition(&draft.name))) {
        let message = format!("makes a job definition `{}`, which is the name of an activity's", names.job_definition(&draft.name));
        problems.add(format!("{}.name", draft.path), message);
    }
}

fn check_tables(deployment: &Deployment<'_>, problems: &Problems) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for arc in deployment.arcs.iter().filter(|arc| matches!(arc.kind.as_str(), "convert" | "query")) {
        let draft = deployment.drafts.iter().find(|draft| draft.name == arc.id.arc);
        let main = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE);
        let Some((draft, sink)) = draft.zip(main) else { continue };
        if let Some(sign) = sink.dataset.path_uri.chars().find(|letter| "$*?".contains(*letter)) {
            let message = format!("has `{sign}`, which Athena does not take as it is: the sink has a table");
            problems.add_fix(format!("{}.sinks.main.pathURI", draft.path), message, Some("use a folder without it".to_owned()));
        }
        let table = deployment.names.table(&sink.dataset.id());
        match known.get(&table) {
            Some(first) => {
                let message = format!("makes a table `{table}`, as {first} does");
                problems.add_fix(format!("{}.sinks.main.name", draft.path), message, Some("give the dataset another name".to_owned()));
            }
            None => drop(known.insert(table, sink.dataset.id().to_string())),
        }
    }
}
