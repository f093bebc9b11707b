//! Row `collect`.

use super::measure::{ROUNDS, median, timed};
use crate::support::synthetic::Synthetic;
use crate::{Bench, Outcome};

impl Bench {
    /// The plan of a collection as the mirror grows; its own time, in seconds, with no other side.
    pub fn collect(&self) -> Outcome<()> {
        for names in [100, 1_000, 10_000] {
            let home = self.fresh("collect")?;
            let made = Synthetic { names, versions: 10, garbage: 10 }.write(&home.join("mirror"));
            let plan = || timed(self.frostmirror(&home).args(["gc", "--dry-run", "--mirror"]).arg(home.join("mirror")));
            plan()?;
            let times = (0..ROUNDS).map(|_| plan()).collect::<Outcome<Vec<f64>>>()?;
            let name = format!("gc --dry-run of {} versions", made.versions);
            println!("{name:<44} {:>8.3} s {:>10} {:>8} {:>17} {:>6}", median(&times), "", "", "", "5 s");
        }
        Ok(())
    }
}
