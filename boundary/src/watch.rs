//! Notifications of a watched folder: a wake-up and nothing more. What has arrived is found by a scan, so a notification
//! that is missed, merged or repeated changes nothing but the time until the next look.

use std::path::Path;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::error::BoundaryError;

/// Wakes somebody when something changes below a folder. Dropping it ends the notifications.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a folder that exists, and all below it. Fails with [`BoundaryError::Notify`] where the system gives no
    /// notifications (network file systems, too many watches); scanning alone then does.
    pub fn folder(folder: &Path, wake: std::sync::Arc<Notify>) -> Result<Watch, BoundaryError> {
        let fail = |source| BoundaryError::Notify { path: folder.display().to_string(), source };
        let on_event = move |event: notify::Result<notify::Event>| {
            let is_reading = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !is_reading {
                wake.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event).map_err(fail)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        Ok(Watch { _watcher: watcher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let wake = std::sync::Arc::new(Notify::new());
        let _watch = Watch::folder(folder.path(), wake.clone()).unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(60), wake.notified()).await.unwrap();
        assert!(Watch::folder(&folder.path().join("nowhere"), wake).is_err());
    }
}
