//! Files that lie in a sink's folder and that no manifest lists: left by a killed run, or put there by somebody. They are
//! read by no one who goes by manifests, and by everyone who reads the whole folder.

use futures::TryStreamExt;
use manifests::ManifestsError;
use project::Owner;

use super::{Audit, mark};

/// Strays that are named for one dataset; of the rest, how many.
const STRAYS_NAMED: usize = 20;

impl Audit<'_> {
    /// Looks through the sinks' folders. Only an audit of everything knows what belongs there.
    pub(super) async fn look_for_strays(&mut self) -> anyhow::Result<()> {
        if !self.scope.datasets.is_empty() || self.scope.earliest.is_some() || self.scope.latest.is_some() {
            return Ok(());
        }
        for produced in self.project.produced() {
            if matches!(produced.owner, Owner::Boundary(_)) || !produced.dataset.path_uri.ends_with('/') {
                continue;
            }
            let (named, more) = self.strays(&produced.dataset.path_uri).await?;
            for uri in named {
                let what = format!("{uri} is in no manifest");
                self.find(&produced.dataset.name, None, what, "move it away, unless a run is at work right now");
            }
            if more > 0 {
                self.find(&produced.dataset.name, None, format!("{more} more files are in no manifest"), "move these away first");
            }
        }
        Ok(())
    }

    async fn strays(&self, path_uri: &str) -> Result<(Vec<String>, usize), ManifestsError> {
        let Ok(place) = self.stores.objects.locate(path_uri.trim_end_matches('/')) else { return Ok((Vec::new(), 0)) };
        let (mut named, mut more) = (Vec::new(), 0);
        let mut listed = place.store.list(Some(&place.path));
        while let Ok(Some(meta)) = listed.try_next().await {
            let Some(parts) = meta.location.prefix_match(&place.path) else { continue };
            let relative = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            let uri = format!("{path_uri}{relative}");
            if self.committed.contains(&mark(&uri)) {
                continue;
            }
            if named.len() < STRAYS_NAMED { named.push(uri) } else { more += 1 }
        }
        named.sort();
        Ok((named, more))
    }
}
