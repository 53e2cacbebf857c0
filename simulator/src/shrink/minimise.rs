//! Delta debugging: of a list of parts, a list from which no single one can go.

use super::Search;
use super::parts::Part;

/// Takes parts of one kind away from the smallest plan, halves first, then ever smaller pieces, until none can go alone.
///
/// This is `ddmin` over complements. Subsets alone are not tried: a rehearsal seldom fails by one part without the rest, and
/// the first complement of two halves is a subset anyway.
pub(super) fn minimise(search: &mut Search<'_>, part: Part) {
    let mut count = part.count(&search.smallest);
    let mut pieces = 1_usize;
    while count > 0 && search.left > 0 {
        let size = count.div_ceil(pieces);
        let mut from = 0;
        let mut any = false;
        while from < count && search.left > 0 {
            let until = (from + size).min(count);
            let mut plan = search.smallest.clone();
            let what = part.remove(&mut plan, from..until);
            if search.try_plan(|| what, plan) {
                // The next piece has moved to where this one was. More than the piece may have gone with it.
                count = part.count(&search.smallest);
                any = true;
            } else {
                from = until;
            }
        }
        if size == 1 && !any {
            return;
        }
        if size > 1 {
            pieces = (pieces * 2).min(count.max(1));
        }
    }
}
