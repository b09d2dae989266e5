//! Lots: no interval without a manifest, a manifest that agrees with itself, every arrival in exactly one lot.

use std::collections::HashMap;

use manifests::{Lot, Manifest, State};
use project::{Owner, Produced};

use super::{Audit, mark};

/// What the lots of a dataset looked at so far hold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    last: Option<Lot>,
    arrivals: HashMap<u128, Lot>,
}

impl Audit<'_> {
    /// Looks at one manifest; the manifests of a dataset come in the order of lots.
    pub(super) fn look_at_lot(&mut self, produced: &Produced, manifest: &Manifest, seen: &mut Seen) {
        let (name, lot) = (produced.dataset.name.as_str(), manifest.lot_id);
        if let Some(before) = seen.last.replace(lot) {
            self.look_for_gap(produced, before, lot);
        }
        if let Some(what) = contradiction(manifest, produced) {
            self.find(name, Some(lot), what, "restore the commit from a backup; it was not written by this program");
        }
        if !matches!(produced.owner, Owner::Boundary(_)) {
            return;
        }
        self.looked.objects += manifest.objects.len() as u64;
        for object in &manifest.objects {
            if let Some(first) = seen.arrivals.insert(mark(&(&object.uri, &object.etag)), lot) {
                let what = format!("{} is in lot {first} too", object.uri);
                self.find(name, Some(lot), what, "report it: an object belongs to one lot");
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::{Dataset, LotUnit, ManifestObject};

    fn produced() -> Produced {
        let dataset = Dataset { name: "a".into(), version: "1".into(), path_uri: "memory:///a/".into() };
        Produced { dataset, unit: LotUnit::Twelfths, owner: Owner::Boundary("in".into()) }
    }

    fn manifest(lot: &str, names: &[&str]) -> Manifest {
        let object = |name: &&str| ManifestObject { uri: format!("memory:///a/{name}"), ..ManifestObject::default() };
        Manifest::new(produced().dataset, lot.parse().unwrap(), names.iter().map(object).collect())
    }

    #[test]
    fn what_contradicts_itself() {
        let sound = manifest("20260206PT5M120", &["x", "y"]);
        let empty = Manifest { state: State::Empty, ..sound.clone() };
        let other = Manifest { uris: vec!["memory:///a/z".into(), "memory:///a/y".into()], ..sound.clone() };
        let what = |manifest: &Manifest| contradiction(manifest, &produced()).unwrap_or_default();
        assert_eq!(what(&sound), "");
        assert_eq!(what(&empty), "it is empty and lists objects");
        assert_eq!(what(&other), "its objects are not its uris");
        assert_eq!(what(&manifest("20260206PT5M120", &["x", "x"])), "it lists memory:///a/x twice");
        assert_eq!(what(&manifest("20260206PT1H010", &["x"])), "it is a lot of Hours, the project file says Twelfths");
    }
}
