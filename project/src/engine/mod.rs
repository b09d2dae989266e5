//! A project opened for work: its stores, its bus, who this process is. A checked project flows in;
//! runs of its arcs, and what became of them, flow out. All writes go through the stores, so that a crash can be
//! injected before any of them.

mod echo;
mod job;
mod kill;
mod owner;
mod progress;
mod register;
mod runs;
mod s3_listing;
mod stop;
pub mod up;

use std::path::PathBuf;
use std::sync::Arc;

use boundary::Hears;
use manifests::{Aws, Bus, DiskBus, EventBridgeBus, ObjectStores, Root, Stores};
use project::synth::Names;
use project::{Placement, Project};

use crate::cloud::CloudArgs;
use crate::command::Trouble;
pub use job::Job;
pub use progress::{Line, Progress};
pub use register::{DatasetOwner, check_owners, register};
pub use runs::{Outcome, Planner, Ran, reprocess, run, threads};
pub use s3_listing::S3Listing;
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
    /// Folder of the placement; of one on AWS, a folder for what need not last.
    pub root: PathBuf,
    /// The account of AWS that the placement is in; none for a local one.
    pub aws: Option<Aws>,
}

impl Engine {
    /// Opens the stores and registers the project and the datasets it owns.
    pub async fn open(project: Project, cloud: &CloudArgs) -> anyhow::Result<Engine> {
        let engine = Engine::look(project, cloud).await?;
        register(&engine.project, &engine.stores).await?;
        Ok(engine)
    }

    /// Opens the stores to look at them: nothing is registered.
    pub async fn look(project: Project, cloud: &CloudArgs) -> Result<Engine, Trouble> {
        let Opened { stores, bus, root, aws } = open(&project, cloud).await?;
        Ok(Engine { project: Arc::new(project), stores, bus, owner: owner::this_worker(), root, aws })
    }

    /// Whether the process that `owner` names is certainly gone.
    pub fn is_dead(owner: &str) -> bool {
        owner::is_dead(owner)
    }

    /// Where a boundary keeps what it can rebuild.
    pub fn index_path(&self, boundary: &str) -> PathBuf {
        self.root.join("cache").join(format!("boundary={boundary}.sqlite"))
    }

    /// Where a backfill of a boundary keeps what it has found, which does not outlast this process.
    pub fn spool_path(&self, boundary: &str) -> PathBuf {
        self.root.join("cache").join(format!("backfill={boundary}-{}.sqlite", std::process::id()))
    }

    /// How the boundaries of the placement hear of what arrives.
    pub fn hears(&self) -> Hears {
        if self.aws.is_some() { Hears::Queue } else { Hears::Listing }
    }
}

/// Stores of files on this machine, as the environment's crash tests want them.
pub fn local_objects() -> ObjectStores {
    kill::wrapped(ObjectStores::local())
}

/// A placement that can be worked on.
struct Opened {
    stores: Stores,
    bus: Arc<dyn Bus>,
    root: PathBuf,
    aws: Option<Aws>,
}

/// The stores of a project's placement.
pub async fn open_stores(project: &Project, cloud: &CloudArgs) -> Result<Stores, Trouble> {
    Ok(open(project, cloud).await?.stores)
}

async fn open(project: &Project, cloud: &CloudArgs) -> Result<Opened, Trouble> {
    match &project.placement {
        Placement::Local { root_uri } => {
            let stores = Stores::below(local_objects(), root_uri).map_err(|error| Trouble::usage(format!("placement.root: {error}")))?;
            let bus = Arc::new(DiskBus::new(stores.artifact.clone()));
            Ok(Opened { stores, bus, root: PathBuf::from(root_uri.trim_start_matches("file://")), aws: None })
        }
        Placement::Aws { region, .. } => open_aws(project, &Aws::load(&cloud.settings(Some(region))).await),
    }
}

/// What does not have to outlast a worker lies in the folder for temporary files.
fn open_aws(project: &Project, aws: &Aws) -> Result<Opened, Trouble> {
    let names = Names::new(&project.placement).ok_or_else(|| Trouble::usage("the placement is not on AWS"))?;
    let objects = kill::wrapped(aws.objects());
    let bucket = |bucket: String| Root::new(&objects, &format!("s3://{bucket}")).map_err(|error| Trouble::usage(error.to_string()));
    let stores = Stores {
        manifest: bucket(names.manifest_bucket())?,
        arc_state: bucket(names.arc_state_bucket())?,
        metadata: bucket(names.metadata_bucket())?,
        artifact: bucket(names.artifact_bucket())?,
        objects: objects.clone(),
    };
    let bus = Arc::new(EventBridgeBus::new(aws, &names.event_bus()));
    let root = std::env::temp_dir().join(format!("arclake-{}", names.project(&project.name, &project.version).prefix));
    Ok(Opened { stores, bus, root, aws: Some(aws.clone()) })
}
