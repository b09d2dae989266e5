//! For crash tests alone: this process kills itself right before its n-th write to any store, or writes down at its end
//! how many writes there were. The environment flows in; every store of the program passes through [`wrapped`].
//! Without the two variables nothing is wrapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use manifests::{Fate, Faults, FaultyStore, ObjectStores};

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;
/// The write, from 1, before which the process dies by SIGKILL.
const KILL_AT_WRITE: &str = "ARC_KILL_AT_WRITE";
/// The file that gets the number of writes.
const COUNT_WRITES: &str = "ARC_COUNT_WRITES";

#[derive(Debug)]
struct Writes {
    kill_at: Option<u64>,
    count_to: Option<std::path::PathBuf>,
    seen: AtomicU64,
}

#[async_trait::async_trait]
impl Faults for Writes {
    async fn fate(&self, action: &'static str, write: bool, path: &str) -> Fate {
        if write {
            let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
            tracing::debug!(number, action, path, "write");
            if self.kill_at == Some(number) {
                kill_this_process();
            }
        }
        Fate::Pass
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        if let Some(path) = &self.count_to {
            let _ = std::fs::write(path, self.seen.load(Ordering::SeqCst).to_string());
        }
    }
}

fn kill_this_process() {
    let _ = signal_hook::low_level::raise(SIGKILL);
    std::process::abort();
}

/// The stores as the environment wants them.
pub fn wrapped(objects: ObjectStores) -> ObjectStores {
    let kill_at = std::env::var(KILL_AT_WRITE).ok().and_then(|text| text.parse().ok());
    let count_to = std::env::var_os(COUNT_WRITES).map(Into::into);
    if kill_at.is_none() && count_to.is_none() {
        return objects;
    }
    let writes: Arc<dyn Faults> = Arc::new(Writes { kill_at, count_to, seen: AtomicU64::new(0) });
    objects.wrapped(move |store| Arc::new(FaultyStore::new(store, writes.clone())))
}
