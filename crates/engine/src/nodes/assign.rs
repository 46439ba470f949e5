//! Who shall own each partition. Every node works it out for itself from the same rows and comes to the same answer; where two have
//! seen different rows, the epochs in the store settle it.

/// The owner that each partition shall have: an index into `nodes` nodes that stand in an agreed order. `owners` are the present ones,
/// `None` where there is none that lives.
///
/// Even to within one, and no partition moves that need not. Where a node may keep one more than others, it is one that has more now.
pub fn assign(nodes: usize, owners: &[Option<usize>]) -> Vec<Option<usize>> {
    if nodes == 0 {
        return vec![None; owners.len()];
    }
    let mut held = vec![0_usize; nodes];
    for owner in owners.iter().flatten() {
        if let Some(held) = held.get_mut(*owner) {
            *held += 1;
        }
    }
    let (each, more) = (owners.len() / nodes, owners.len() % nodes);
    let mut by_holding: Vec<usize> = (0..nodes).collect();
    by_holding.sort_by_key(|node| std::cmp::Reverse(held[*node]));
    let mut room = vec![each; nodes];
    by_holding.into_iter().take(more).for_each(|node| room[node] += 1);

    let mut shall: Vec<Option<usize>> = Vec::with_capacity(owners.len());
    for owner in owners {
        let keeps = owner.filter(|owner| room.get(*owner).is_some_and(|room| *room > 0));
        if let Some(owner) = keeps {
            room[owner] -= 1;
        }
        shall.push(keeps);
    }
    let mut free = (0..nodes).flat_map(|node| std::iter::repeat_n(node, room[node]));
    for owner in shall.iter_mut().filter(|owner| owner.is_none()) {
        *owner = free.next();
    }
    shall
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = crossdock_store::PARTITIONS as usize;

    /// A small generator: the same cases every time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).expect("31 bits") % most
        }
    }

    fn counts(nodes: usize, owners: &[Option<usize>]) -> Vec<usize> {
        (0..nodes).map(|node| owners.iter().filter(|owner| **owner == Some(node)).count()).collect()
    }

    /// The fewest moves of owned partitions that an even share needs.
    fn fewest(nodes: usize, owners: &[Option<usize>]) -> usize {
        let mut held = counts(nodes, owners);
        held.sort_unstable_by(|a, b| b.cmp(a));
        let (each, more) = (owners.len() / nodes, owners.len() % nodes);
        held.iter().enumerate().map(|(at, held)| held.saturating_sub(each + usize::from(at < more))).sum()
    }

    #[test]
    fn shares_are_even_to_within_one_and_nothing_moves_that_need_not() {
        let mut dice = Dice(7);
        for case in 0..2_000 {
            let nodes = 1 + dice.below(if case % 10 == 0 { 300 } else { 12 });
            let owners: Vec<Option<usize>> =
                (0..ALL).map(|_| Some(dice.below(nodes + 1 + case % 3)).filter(|owner| *owner < nodes)).collect();
            let shall = assign(nodes, &owners);
            let held = counts(nodes, &shall);
            assert_eq!(held.iter().sum::<usize>(), ALL, "each has an owner");
            let (least, most) = (held.iter().min().expect("a node"), held.iter().max().expect("a node"));
            assert!(most - least <= 1, "{held:?}");
            let moved = owners.iter().zip(&shall).filter(|(was, shall)| was.is_some() && was != shall).count();
            assert_eq!(moved, fewest(nodes, &owners), "case {case}");
            assert_eq!(assign(nodes, &shall), shall, "and then it rests");
        }
    }

    #[test]
    fn a_node_that_joins_gets_its_share_from_all_and_one_that_goes_gives_to_all() {
        let three: Vec<Option<usize>> = (0..ALL).map(|partition| Some(partition % 3)).collect();
        let four = assign(4, &three);
        assert_eq!(counts(4, &four), [64, 64, 64, 64]);
        let without: Vec<Option<usize>> = four.iter().map(|owner| owner.filter(|owner| *owner != 3)).collect();
        assert_eq!(counts(3, &assign(3, &without)), [86, 85, 85]);
        assert_eq!(assign(0, &three), vec![None; ALL]);
    }
}
