//! A project opened for work on this machine: its stores, its bus, who this process is. A checked project flows in;
//! runs of its arcs, and what became of them, flow out. All writes go through the stores, so that a crash can be
//! injected before any of them.

mod kill;
mod owner;
mod progress;
mod register;
mod runs;
mod stop;
pub mod up;

use std::path::PathBuf;
use std::sync::Arc;

use manifests::{Bus, DiskBus, ObjectStores, Stores};
use project::{Placement, Project};

use crate::command::Trouble;
pub use progress::{Line, Progress};
pub use runs::{Outcome, Planner, Ran, reprocess, run, threads};
pub use stop::Stop;

/// A project opened for work.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The project.
    pub project: Arc<Project>,
    /// Its stores.
    pub stores: Stores,
    /// Its bus.
    pub bus: Arc<dyn Bus>,
    /// This process, as leases name it.
    pub owner: String,
    /// Folder of the placement.
    pub root: PathBuf,
}

impl Engine {
    /// Opens the stores and registers the project and the datasets it owns.
    pub async fn open(project: Project) -> anyhow::Result<Engine> {
        let stores = open_stores(&project)?;
        register::register(&project, &stores).await?;
        let bus: Arc<dyn Bus> = Arc::new(DiskBus::new(stores.artifact.clone()));
        let root = root(&project)?;
        Ok(Engine { project: Arc::new(project), stores, bus, owner: owner::this_process(), root })
    }

    /// Whether the process that `owner` names is certainly gone.
    pub fn is_dead(owner: &str) -> bool {
        owner::is_dead(owner)
    }

    /// Where a boundary keeps what it can rebuild.
    pub fn index_path(&self, boundary: &str) -> PathBuf {
        self.root.join("cache").join(format!("boundary={boundary}.sqlite"))
    }
}

/// Stores of files on this machine, as the environment's crash tests want them.
pub fn local_objects() -> ObjectStores {
    kill::wrapped(ObjectStores::local())
}

/// The stores of a project's placement.
pub fn open_stores(project: &Project) -> Result<Stores, Trouble> {
    match &project.placement {
        Placement::Local { root_uri } => {
            Stores::below(local_objects(), root_uri).map_err(|error| Trouble::usage(format!("placement.root: {error}")))
        }
        Placement::Aws { .. } => Err(Trouble::usage("this project lives on AWS; this version of arc works on local placements")
            .next("placement: { provider: 'local', root: 'lake' }")),
    }
}

fn root(project: &Project) -> anyhow::Result<PathBuf> {
    let Placement::Local { root_uri } = &project.placement else { anyhow::bail!("a placement on AWS has no folder") };
    Ok(PathBuf::from(root_uri.trim_start_matches("file://")))
}
