//! The latest of many: listings flow in, from the last days first, since a year of lots is a hundred thousand of them; the
//! latest lot, or run, flows out.

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcId, ArcState, DatasetId, Lot, LotEntry, LotUnit, ManifestsError, Stores, paths};

/// How many days back is looked, one after the other; after the last of them everything is.
const BACK_DAYS: [i64; 3] = [2, 32, 366];

/// The lots to look from, in turn; lots of days sort before all others of their day.
fn starts(now: DateTime<Utc>) -> impl Iterator<Item = Lot> {
    BACK_DAYS.into_iter().map(move |days| Lot::containing(LotUnit::Days, now - TimeDelta::days(days)))
}

/// The latest lot of a dataset, and what the listing says of it.
pub async fn latest_lot(stores: &Stores, id: &DatasetId, now: DateTime<Utc>) -> Result<Option<(Lot, LotEntry)>, ManifestsError> {
    for start in starts(now) {
        let lots = stores.lots_from(id, start).await?;
        if let Some(latest) = lots.into_iter().max_by_key(|(lot, _)| lot.end()) {
            return Ok(Some(latest));
        }
    }
    Ok(stores.lots(id).await?.into_iter().max_by_key(|(lot, _)| lot.end()))
}

/// The latest lot that an arc was run on, and how its last attempt stands.
pub async fn latest_run(stores: &Stores, id: &ArcId, now: DateTime<Utc>) -> Result<Option<(Lot, ArcState)>, ManifestsError> {
    let folder = paths::arc_dir(id);
    for start in starts(now) {
        let listed = stores.arc_state.list_after(&folder, &paths::arc_lot_dir(id, start)).await?;
        if let Some(latest) = last(&listed) {
            return Ok(Some(latest));
        }
    }
    Ok(last(&stores.arc_state.list(&folder).await?))
}

fn last(listed: &[object_store::path::Path]) -> Option<(Lot, ArcState)> {
    let attempts = listed.iter().filter_map(paths::parse_attempt_path);
    // A final state before `running`, which stays beside it.
    let latest = attempts.max_by_key(|(_, lot, number, state)| (lot.end(), *number, *state != ArcState::Running));
    latest.map(|(_, lot, _, state)| (lot, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::{Dataset, Manifest};

    #[tokio::test]
    async fn the_latest_is_found_however_old_it_is() {
        let stores = Stores::memory().unwrap();
        let dataset = Dataset { name: "a".into(), version: "1".into(), path_uri: "memory:///a/".into() };
        let arc = ArcId { project: "p".into(), version: "1".into(), arc: "x".into() };
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(latest_lot(&stores, &dataset.id(), now).await.unwrap(), None);
        assert_eq!(latest_run(&stores, &arc, now).await.unwrap(), None);
        for (text, days) in [("20230717PT5M250", 1000), ("20261001PT5M001", 60), ("20261120PT1H005", 1), ("20261121P1D000", 0)] {
            let lot: Lot = text.parse().unwrap();
            stores.commit(&Manifest::new(dataset.clone(), lot, vec![])).await.unwrap();
            for state in [ArcState::Running, ArcState::Missing] {
                stores.arc_state.put(&paths::attempt(&arc, lot, 2, state), "{}").await.unwrap();
            }
            stores.arc_state.put(&paths::attempt(&arc, lot, 1, ArcState::Complete), "{}").await.unwrap();
            let found = latest_lot(&stores, &dataset.id(), now).await.unwrap().unwrap();
            assert_eq!((found.0.to_string(), found.1.generation), (text.to_owned(), 1), "{days} days back");
            assert_eq!(latest_run(&stores, &arc, now).await.unwrap(), Some((lot, ArcState::Missing)));
        }
    }
}
