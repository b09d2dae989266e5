//! Lots: no interval without a manifest, a manifest that agrees with itself, every arrival in exactly one lot.

use std::collections::HashMap;

use manifests::{Lot, Manifest, State};
use project::{Owner, Produced};

use super::{Audit, mark};

impl Audit<'_> {
    /// Looks at the manifests of one dataset, in the order of lots.
    pub(super) async fn look_at_lots(&mut self, produced: &Produced, manifests: &[Manifest]) -> anyhow::Result<()> {
        let name = produced.dataset.name.as_str();
        let is_boundary = matches!(produced.owner, Owner::Boundary(_));
        for pair in manifests.windows(2) {
            self.look_for_gap(produced, pair[0].lot_id, pair[1].lot_id);
        }
        let mut seen: HashMap<u128, Lot> = HashMap::new();
        for manifest in manifests {
            let lot = manifest.lot_id;
            if let Some(what) = contradiction(manifest, produced) {
                self.find(name, Some(lot), what, "restore the commit from a backup; it was not written by this program");
            }
            for object in manifest.objects.iter().filter(|_| is_boundary) {
                self.looked.objects += 1;
                if let Some(first) = seen.insert(mark(&(&object.uri, &object.etag)), lot) {
                    let what = format!("{} is in lot {first} too", object.uri);
                    self.find(name, Some(lot), what, "report it: an object belongs to one lot");
                }
            }
        }
        Ok(())
    }

    fn look_for_gap(&mut self, produced: &Produced, before: Lot, after: Lot) {
        if before.unit() != after.unit() || before.next() >= after {
            return;
        }
        let missing = Lot::range(before.next(), after.previous()).count();
        let what = format!(
            "{missing} {} missing from {} to {}",
            if missing == 1 { "lot is" } else { "lots are" },
            before.next(),
            after.previous()
        );
        let next = match &produced.owner {
            Owner::Boundary(_) => "restore the commits from a backup".to_owned(),
            Owner::Arc { name, .. } => format!("arc status {name}, then arc up --once or arc retry --arc {name}"),
        };
        self.find(&produced.dataset.name, Some(before.next()), what, next);
    }
}

/// What in a manifest contradicts itself or its dataset.
fn contradiction(manifest: &Manifest, produced: &Produced) -> Option<String> {
    let uris: Vec<&String> = manifest.objects.iter().map(|object| &object.uri).collect();
    if !manifest.objects.is_empty() && uris != manifest.uris.iter().collect::<Vec<_>>() {
        return Some("its objects are not its uris".into());
    }
    if manifest.state == State::Empty && !manifest.uris.is_empty() {
        return Some("it is empty and lists objects".into());
    }
    if manifest.lot_id.unit() != produced.unit {
        return Some(format!("it is a lot of {}, the project file says {}", manifest.lot_id.unit(), produced.unit));
    }
    let is_twice = {
        let mut sorted = uris.clone();
        sorted.sort();
        sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
    };
    is_twice.map(|uri| format!("it lists {uri} twice"))
}
