//! Chooses the endpoint for a request: two are drawn at random by weight, and the one with the lower load is used. It
//! does no I/O; the random numbers are an argument.
//!
//! The better of two random choices is close to the least loaded endpoint. Choosing the least loaded of all would send
//! the requests of all workers at the same moment to the endpoint that has just become idle. As long as there is an
//! endpoint that this request has not tried, one is chosen, even if no endpoint is available: refusing the webhook
//! would be worse.

/// How often a second endpoint is drawn that must differ from the first.
const REDRAWS: usize = 4;

/// The properties of one endpoint that the choice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointCandidate {
    /// Its share of the requests, 1 or more.
    pub(super) weight: u32,
    /// Number of its requests in flight.
    pub(super) in_flight: usize,
    /// Whether it is neither ejected nor unhealthy.
    pub(super) is_available: bool,
    /// Whether this request has already been sent to it without success.
    pub(super) is_tried: bool,
}

impl EndpointCandidate {
    /// A candidate that is never chosen, for an index without an endpoint.
    pub(super) const NONE: Self = Self {
        weight: 0,
        in_flight: 0,
        is_available: false,
        is_tried: true,
    };
}

/// The weights of all endpoints, for drawing one without looking at the others.
#[derive(Debug)]
pub(super) struct Weights {
    count: usize,
    /// The sums of the weights up to each endpoint; empty if all weights are equal.
    sums: Vec<u64>,
}

impl Weights {
    pub(super) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let count = weights.clone().count();
        let mut following = weights.clone().skip(1);
        let is_equal = weights.clone().zip(&mut following).all(|(one, next)| one == next);
        let add = |sum: &mut u64, weight: u32| {
            *sum += u64::from(weight);
            Some(*sum)
        };
        Self {
            count,
            sums: if is_equal {
                Vec::new()
            } else {
                weights.scan(0, add).collect()
            },
        }
    }

    /// Draws an index, with a probability in proportion to its weight; `None` without endpoints.
    fn draw(&self, random: u64) -> Option<usize> {
        match self.sums.last() {
            None => usize::try_from(random.checked_rem(self.count as u64)?).ok(),
            Some(total) => {
                let at = random.checked_rem(*total)?;
                Some(self.sums.partition_point(|sum| *sum <= at))
            }
        }
    }
}

/// The endpoint that was chosen for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Its index.
    pub(super) index: usize,
    /// Whether it was available when it was drawn.
    pub(super) is_available: bool,
    /// Whether another endpoint is left if this one fails.
    pub(super) has_alternative: bool,
}

/// Chooses among the endpoints of `weights`. `candidate` returns the properties of an endpoint by index; it is called several
/// times and its results may change in between. Returns `None` when all endpoints are tried.
///
/// When fewer than `panic_below` percent are available, or none is, all are used: the few would be overloaded, and the
/// cause of the failures may be common to all. When all available endpoints are tried, the unavailable ones are used.
///
/// Two available endpoints that are drawn are used without looking at the others, so that a choice costs the same with
/// two endpoints and with hundreds as long as most are available.
pub(super) fn choose(
    weights: &Weights,
    candidate: impl Fn(usize) -> EndpointCandidate,
    panic_below: u32,
    mut random: impl FnMut() -> u64,
) -> Option<Choice> {
    let is_usable = |(_, candidate): &(usize, EndpointCandidate)| candidate.is_available && !candidate.is_tried;
    let drawn = weights.draw(random()).map(|index| (index, candidate(index)));
    if let Some((first, a)) = drawn.filter(is_usable) {
        let other = (0..REDRAWS).find_map(|_| weights.draw(random()).filter(|index| *index != first));
        if let Some((second, b)) = other.map(|index| (index, candidate(index))).filter(is_usable) {
            return Some(Choice {
                index: if is_lighter(b, a) { second } else { first },
                is_available: true,
                has_alternative: true,
            });
        }
    }
    let count = weights.count;
    let (mut available, mut untried, mut available_untried) = (0_usize, 0_usize, 0_usize);
    for candidate in (0..count).map(&candidate) {
        available += usize::from(candidate.is_available);
        untried += usize::from(!candidate.is_tried);
        available_untried += usize::from(candidate.is_available && !candidate.is_tried);
    }
    let is_panic = available * 100 < panic_below as usize * count;
    let uses_all = is_panic || available_untried == 0;
    let is_eligible = |candidate: &EndpointCandidate| !candidate.is_tried && (uses_all || candidate.is_available);
    let eligible = |except: Option<usize>| {
        (0..count)
            .filter(move |index| Some(*index) != except)
            .map(|index| (index, candidate(index)))
            .filter(|(_, candidate)| is_eligible(candidate))
    };
    let (first, a) = match drawn.filter(|(_, candidate)| is_eligible(candidate)) {
        Some(first) => first,
        None => draw(&eligible(None), random())?,
    };
    let (index, chosen) = match draw(&eligible(Some(first)), random()) {
        Some((second, b)) if is_lighter(b, a) => (second, b),
        Some(_) | None => (first, a),
    };
    Some(Choice {
        index,
        is_available: chosen.is_available,
        has_alternative: untried > 1,
    })
}

/// Draws one of the candidates, with a probability in proportion to its weight.
fn draw(
    eligible: &(impl Iterator<Item = (usize, EndpointCandidate)> + Clone),
    random: u64,
) -> Option<(usize, EndpointCandidate)> {
    let total: u64 = eligible.clone().map(|(_, candidate)| u64::from(candidate.weight)).sum();
    let mut at = random.checked_rem(total)?;
    let mut last = None;
    for (index, candidate) in eligible.clone() {
        last = Some((index, candidate));
        match at.checked_sub(u64::from(candidate.weight)) {
            Some(rest) => at = rest,
            None => break,
        }
    }
    last
}

/// Whether `a` has fewer requests in flight per weight than `b`. The one drawn first wins a tie, so that idle endpoints
/// share the requests by weight.
const fn is_lighter(a: EndpointCandidate, b: EndpointCandidate) -> bool {
    (a.in_flight as u128) * (b.weight as u128) < (b.in_flight as u128) * (a.weight as u128)
}

/// A random number generator (splitmix64). It is predictable, which is harmless for load balancing.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    const IDLE: EndpointCandidate = EndpointCandidate {
        weight: 1,
        in_flight: 0,
        is_available: true,
        is_tried: false,
    };

    fn pick(candidates: &[EndpointCandidate], panic_below: u32, random: &mut Random) -> Option<Choice> {
        choose(&weights(candidates), |i| candidates[i], panic_below, || random.next())
    }

    fn weights(candidates: &[EndpointCandidate]) -> Weights {
        Weights::new(candidates.iter().map(|candidate| candidate.weight))
    }

    /// A choice looks at two endpoints, however many there are.
    #[test]
    fn a_choice_among_available_endpoints_looks_at_two() {
        for weight in [1, 7] {
            let mut candidates = vec![IDLE; 10_000];
            candidates[0].weight = weight;
            let weights = weights(&candidates);
            let looks = std::cell::Cell::new(0);
            let mut random = Random(3);
            for _ in 0..1_000 {
                let candidate = |index: usize| {
                    looks.set(looks.get() + 1);
                    candidates[index]
                };
                choose(&weights, candidate, 30, || random.next()).unwrap();
            }
            assert_eq!(looks.get(), 2_000, "weight {weight}");
        }
    }

    /// How often each candidate is chosen in `rounds` choices, without load.
    fn shares(candidates: &[EndpointCandidate], rounds: usize) -> Vec<usize> {
        let mut random = Random(7);
        let mut shares = vec![0; candidates.len()];
        for _ in 0..rounds {
            shares[pick(candidates, 30, &mut random).unwrap().index] += 1;
        }
        shares
    }

    fn candidate() -> impl Strategy<Value = EndpointCandidate> {
        (1..=1000_u32, 0..1000_usize, any::<bool>(), any::<bool>()).prop_map(
            |(weight, in_flight, is_available, is_tried)| EndpointCandidate {
                weight,
                in_flight,
                is_available,
                is_tried,
            },
        )
    }

    proptest! {
        /// An untried endpoint is always found; an available one if there is one, unless too few are available.
        #[test]
        fn an_untried_endpoint_is_always_chosen(
            candidates in prop::collection::vec(candidate(), 0..20),
            panic_below in 0..=100_u32,
            seed: u64,
        ) {
            let choice = pick(&candidates, panic_below, &mut Random(seed));
            let untried = candidates.iter().filter(|c| !c.is_tried).count();
            prop_assert_eq!(choice.is_some(), untried > 0);
            let Some(choice) = choice else { return Ok(()) };
            let chosen = candidates[choice.index];
            prop_assert!(!chosen.is_tried);
            prop_assert_eq!(choice.has_alternative, untried > 1);
            let available = candidates.iter().filter(|c| c.is_available).count();
            let is_panic = available * 100 < panic_below as usize * candidates.len();
            if !is_panic && candidates.iter().any(|c| c.is_available && !c.is_tried) {
                prop_assert!(chosen.is_available);
            }
        }

        /// The endpoint with the highest load per weight is never chosen.
        #[test]
        fn the_endpoint_with_the_highest_load_is_never_chosen(
            loads in prop::collection::vec((1..=1000_u32, 0..1000_usize), 2..20),
            seed: u64,
        ) {
            let mut candidates: Vec<_> =
                loads.into_iter().map(|(weight, in_flight)| EndpointCandidate { weight, in_flight, ..IDLE }).collect();
            candidates.push(EndpointCandidate { weight: 1, in_flight: 1_000_000, ..IDLE });
            let choice = pick(&candidates, 30, &mut Random(seed)).unwrap();
            prop_assert_ne!(choice.index, candidates.len() - 1);
        }

        /// Requests that stay in flight are distributed by weight: exactly with two endpoints, because both are drawn
        /// every time.
        #[test]
        fn two_endpoints_are_loaded_in_proportion_to_weight(a in 1..=20_u32, b in 1..=20_u32, seed: u64) {
            let mut candidates = [EndpointCandidate { weight: a, ..IDLE }, EndpointCandidate { weight: b, ..IDLE }];
            let mut random = Random(seed);
            for _ in 0..(a + b) * 10 {
                let index = pick(&candidates, 30, &mut random).unwrap().index;
                candidates[index].in_flight += 1;
            }
            prop_assert!(candidates[0].in_flight.abs_diff(a as usize * 10) <= 1 + (a / b.min(a)) as usize);
        }

        /// Many endpoints are loaded evenly: none has more than a few requests above the mean.
        #[test]
        fn many_endpoints_are_loaded_evenly(count in 2..40_usize, seed: u64) {
            let mut candidates = vec![IDLE; count];
            let mut random = Random(seed);
            for _ in 0..count * 50 {
                let index = pick(&candidates, 30, &mut random).unwrap().index;
                candidates[index].in_flight += 1;
            }
            let most = candidates.iter().map(|c| c.in_flight).max().unwrap();
            prop_assert!(most <= 50 + 8, "{most}");
        }

        /// When candidates change during the choice, the choice may be worse, but its index is in range.
        #[test]
        fn candidates_that_change_during_the_choice_give_an_index_in_range(
            script in prop::collection::vec(candidate(), 1..200),
            count in 1..10_usize,
            seed: u64,
        ) {
            let at = std::cell::Cell::new(0);
            let candidate = |_| {
                at.set(at.get() + 1);
                script[at.get() % script.len()]
            };
            let mut random = Random(seed);
            let weights = Weights::new(script.iter().cycle().take(count).map(|candidate| candidate.weight));
            if let Some(choice) = choose(&weights, candidate, 30, || random.next()) {
                prop_assert!(choice.index < count);
            }
        }
    }

    #[test]
    fn idle_endpoints_share_by_weight() {
        assert!(shares(&[IDLE; 4], 4000).iter().all(|share| (850..1150).contains(share)));
        let heavy = EndpointCandidate { weight: 3, ..IDLE };
        let shares = shares(&[IDLE, heavy], 4000);
        assert!((2800..3200).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn only_available_endpoints_are_used_until_too_few_are_left() {
        let unavailable = EndpointCandidate {
            is_available: false,
            ..IDLE
        };
        assert_eq!(shares(&[unavailable, IDLE, unavailable], 300), [0, 300, 0]);
        // One of four is less than 30 %: all are used.
        assert!(
            shares(&[unavailable, IDLE, unavailable, unavailable], 4000)
                .iter()
                .all(|share| *share > 800)
        );
        // No endpoint is available.
        assert!(
            shares(&[unavailable, unavailable], 1000)
                .iter()
                .all(|share| *share > 400)
        );
    }

    #[test]
    fn unavailable_endpoints_are_used_when_the_available_ones_are_tried() {
        let unavailable = EndpointCandidate {
            is_available: false,
            ..IDLE
        };
        let tried = EndpointCandidate { is_tried: true, ..IDLE };
        let choice = pick(&[tried, unavailable, tried], 0, &mut Random(1)).unwrap();
        assert_eq!((choice.index, choice.has_alternative), (1, false));
        assert_eq!(pick(&[tried, tried], 0, &mut Random(1)), None);
        assert_eq!(pick(&[], 0, &mut Random(1)), None);
    }
}
