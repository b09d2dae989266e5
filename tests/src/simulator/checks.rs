//! The promises, held against what a schedule left behind and against what was seen on the way.

use boundary::{Dispatcher, Standing};

use super::world::World;
use crate::promises::{Arrived, Broken, Lake};
use crate::work::worker;

/// All that is broken, nothing if all is well.
pub(crate) async fn check(world: &World, is_quiet: bool) -> Vec<Broken> {
    let mut found: Vec<Broken> = world.store.wrong().into_iter().map(watched).collect();
    if !is_quiet {
        found.extend(left(world).await);
        found.push(Broken { promise: 5, seen: "something is left to do for ever".into() });
        return found;
    }
    let mut boundaries = Vec::new();
    for edge in &world.edges {
        let arrived = edge.queue.as_ref().map_or(Arrived::There, |_| Arrived::Told(edge.told()));
        boundaries.push((&edge.spec.dataset, arrived));
        let left = edge.queue.as_ref().map_or(0, |queue| queue.left());
        if left > 0 {
            found.push(Broken { promise: 5, seen: format!("{left} messages are left in the queue") });
        }
    }
    if world.store.documents() > 0 {
        found.push(Broken { promise: 5, seen: format!("{} documents of arrivals are left", world.store.documents()) });
    }
    let lake = Lake { stores: &world.sound, boundaries, arcs: &world.arcs, replaces: world.replaces, removes: world.removes };
    found.extend(lake.check().await);
    found
}

/// The lots that are neither done nor wait for others.
async fn left(world: &World) -> Vec<Broken> {
    let mut found = Vec::new();
    let Ok(mut dispatcher) = Dispatcher::new(world.sound.clone(), world.bus.clone()).await else { return found };
    for arc in &world.arcs {
        let standings = dispatcher.standings(arc, world.time.now(), &worker("look")).await.unwrap_or_default();
        let open = standings.into_iter().filter(|(_, standing)| !matches!(standing, Standing::Done(_) | Standing::Waiting { .. }));
        found.extend(open.map(|(lot, standing)| Broken { promise: 5, seen: format!("{lot} of {} stands so: {standing:?}", arc.id.arc) }));
    }
    found
}

/// What was noted on the way begins with its promise.
fn watched(seen: String) -> Broken {
    let promise = seen.strip_prefix("promise ").and_then(|rest| rest.split_once(": "));
    let promise = promise.and_then(|(number, rest)| Some((number.parse().ok()?, rest.to_owned())));
    let (promise, seen) = promise.unwrap_or((3, seen));
    Broken { promise, seen }
}
