//! Which endpoint gets a request: of two drawn by weight, the one with less to do. Pure; chance is an argument.
//!
//! Two random choices come close to the least loaded of all and do not send every request at once to the one that has
//! just become idle, as looking for the least loaded does when several workers look. Whatever is wrong with the
//! endpoints, somebody is chosen as long as there is one that this request has not tried: a webhook that is refused
//! because nobody looks well helps nobody.

/// What the choice needs to know of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its share, from 1.
    pub(super) weight: u32,
    /// Requests that it has to answer now.
    pub(super) in_flight: usize,
    /// Neither ejected nor found ill.
    pub(super) is_well: bool,
    /// This very request has been there.
    pub(super) is_tried: bool,
}

impl Candidate {
    /// One that is not there.
    pub(super) const NONE: Self = Self {
        weight: 0,
        in_flight: 0,
        is_well: false,
        is_tried: true,
    };
}

/// The endpoint that gets the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) index: usize,
    /// As it looked when it was drawn.
    pub(super) is_well: bool,
    /// Whether there is another one, should this one fail.
    pub(super) has_alternative: bool,
}

/// Chooses among `count` endpoints, each looked at with `look` (several times, and it may change in between); `None` when
/// all are tried. When fewer than `panic_below` percent are well, or none is, all count as well: those few would be
/// overrun, and what made the others look ill may be common to all. When the well ones are all tried, the others are
/// better than giving up.
pub(super) fn choose(
    count: usize,
    look: impl Fn(usize) -> Candidate,
    panic_below: u32,
    mut random: impl FnMut() -> u64,
) -> Option<Choice> {
    let (mut well, mut untried, mut well_untried) = (0_usize, 0_usize, 0_usize);
    for candidate in (0..count).map(&look) {
        well += usize::from(candidate.is_well);
        untried += usize::from(!candidate.is_tried);
        well_untried += usize::from(candidate.is_well && !candidate.is_tried);
    }
    let is_panic = well * 100 < panic_below as usize * count;
    let takes_all = is_panic || well_untried == 0;
    let is_open = |candidate: &Candidate| !candidate.is_tried && (takes_all || candidate.is_well);
    let open = |except: Option<usize>| {
        (0..count)
            .filter(move |index| Some(*index) != except)
            .map(|index| (index, look(index)))
            .filter(|(_, candidate)| is_open(candidate))
    };
    let (first, a) = draw(&open(None), random())?;
    let (index, chosen) = match draw(&open(Some(first)), random()) {
        Some((second, b)) if is_lighter(b, a) => (second, b),
        Some(_) | None => (first, a),
    };
    Some(Choice {
        index,
        is_well: chosen.is_well,
        has_alternative: untried > 1,
    })
}

/// One of the candidates, each as likely as its weight.
fn draw(open: &(impl Iterator<Item = (usize, Candidate)> + Clone), random: u64) -> Option<(usize, Candidate)> {
    let total: u64 = open.clone().map(|(_, candidate)| u64::from(candidate.weight)).sum();
    let mut at = random.checked_rem(total)?;
    let mut last = None;
    for (index, candidate) in open.clone() {
        last = Some((index, candidate));
        match at.checked_sub(u64::from(candidate.weight)) {
            Some(rest) => at = rest,
            None => break,
        }
    }
    last
}

/// Whether `a` has less to do than `b`, for its weight. A tie goes to the one drawn first, so that idle endpoints share
/// by weight.
const fn is_lighter(a: Candidate, b: Candidate) -> bool {
    (a.in_flight as u128) * (b.weight as u128) < (b.in_flight as u128) * (a.weight as u128)
}

/// A small generator of random numbers (splitmix64): for choices that nobody gains from guessing.
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

    const IDLE: Candidate = Candidate {
        weight: 1,
        in_flight: 0,
        is_well: true,
        is_tried: false,
    };

    fn pick(candidates: &[Candidate], panic_below: u32, random: &mut Random) -> Option<Choice> {
        choose(candidates.len(), |i| candidates[i], panic_below, || random.next())
    }

    /// Choices of `rounds` requests that are over at once.
    fn shares(candidates: &[Candidate], rounds: usize) -> Vec<usize> {
        let mut random = Random(7);
        let mut shares = vec![0; candidates.len()];
        for _ in 0..rounds {
            shares[pick(candidates, 30, &mut random).unwrap().index] += 1;
        }
        shares
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        (1..=1000_u32, 0..1000_usize, any::<bool>(), any::<bool>()).prop_map(
            |(weight, in_flight, is_well, is_tried)| Candidate {
                weight,
                in_flight,
                is_well,
                is_tried,
            },
        )
    }

    proptest! {
        /// Somebody untried is always found; somebody well if there is one, unless too few are.
        #[test]
        fn the_choice_is_open(
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
            let well = candidates.iter().filter(|c| c.is_well).count();
            let is_panic = well * 100 < panic_below as usize * candidates.len();
            if !is_panic && candidates.iter().any(|c| c.is_well && !c.is_tried) {
                prop_assert!(chosen.is_well);
            }
        }

        /// The heaviest loaded for its weight is never chosen while it is alone in that.
        #[test]
        fn never_the_heaviest(
            loads in prop::collection::vec((1..=1000_u32, 0..1000_usize), 2..20),
            seed: u64,
        ) {
            let mut candidates: Vec<_> =
                loads.into_iter().map(|(weight, in_flight)| Candidate { weight, in_flight, ..IDLE }).collect();
            candidates.push(Candidate { weight: 1, in_flight: 1_000_000, ..IDLE });
            let choice = pick(&candidates, 30, &mut Random(seed)).unwrap();
            prop_assert_ne!(choice.index, candidates.len() - 1);
        }

        /// Requests that stay are spread by weight: with two endpoints exactly, which are both looked at every time.
        #[test]
        fn two_endpoints_fill_by_weight(a in 1..=20_u32, b in 1..=20_u32, seed: u64) {
            let mut candidates = [Candidate { weight: a, ..IDLE }, Candidate { weight: b, ..IDLE }];
            let mut random = Random(seed);
            for _ in 0..(a + b) * 10 {
                let index = pick(&candidates, 30, &mut random).unwrap().index;
                candidates[index].in_flight += 1;
            }
            prop_assert!(candidates[0].in_flight.abs_diff(a as usize * 10) <= 1 + (a / b.min(a)) as usize);
        }

        /// However the load came about, many endpoints come out even: no more than a few above the mean.
        #[test]
        fn many_endpoints_fill_evenly(count in 2..40_usize, seed: u64) {
            let mut candidates = vec![IDLE; count];
            let mut random = Random(seed);
            for _ in 0..count * 50 {
                let index = pick(&candidates, 30, &mut random).unwrap().index;
                candidates[index].in_flight += 1;
            }
            let most = candidates.iter().map(|c| c.in_flight).max().unwrap();
            prop_assert!(most <= 50 + 8, "{most}");
        }

        /// What changes between two looks leads to a worse choice at most, never out of range.
        #[test]
        fn changing_under_the_look(script in prop::collection::vec(candidate(), 1..200), count in 1..10_usize, seed: u64) {
            let at = std::cell::Cell::new(0);
            let look = |_| {
                at.set(at.get() + 1);
                script[at.get() % script.len()]
            };
            let mut random = Random(seed);
            if let Some(choice) = choose(count, look, 30, || random.next()) {
                prop_assert!(choice.index < count);
            }
        }
    }

    #[test]
    fn idle_endpoints_share_by_weight() {
        assert!(shares(&[IDLE; 4], 4000).iter().all(|share| (850..1150).contains(share)));
        let heavy = Candidate { weight: 3, ..IDLE };
        let shares = shares(&[IDLE, heavy], 4000);
        assert!((2800..3200).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn the_last_well_one_is_used_alone_until_panic() {
        let ill = Candidate { is_well: false, ..IDLE };
        assert_eq!(shares(&[ill, IDLE, ill], 300), [0, 300, 0]);
        // One of four is less than 30 %: all are used.
        assert!(shares(&[ill, IDLE, ill, ill], 4000).iter().all(|share| *share > 800));
        // None is well.
        assert!(shares(&[ill, ill], 1000).iter().all(|share| *share > 400));
    }

    #[test]
    fn when_the_well_ones_are_tried_the_others_are_better_than_nothing() {
        let ill = Candidate { is_well: false, ..IDLE };
        let tried = Candidate { is_tried: true, ..IDLE };
        let choice = pick(&[tried, ill, tried], 0, &mut Random(1)).unwrap();
        assert_eq!((choice.index, choice.has_alternative), (1, false));
        assert_eq!(pick(&[tried, tried], 0, &mut Random(1)), None);
        assert_eq!(pick(&[], 0, &mut Random(1)), None);
    }
}
