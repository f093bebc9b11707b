//! The manifests of the histories in a snapshot. Their tables are in the snapshot's own record.

use crate::bundle::format::{CarriedHistory, CrateRecord, DistFileRecord, Input, Lineage, Manifest};

/// The recorded manifest of a history of a snapshot. It leaves out the tables, targets and toolchains, which the
/// snapshot's own record has.
pub(super) fn history_manifest(carried: CarriedHistory, snapshot: &Manifest) -> Manifest {
    let lineage = Lineage { inputs: Vec::new(), ..carried.lineage.clone() };
    Manifest {
        id: carried.bundle.clone(),
        format: snapshot.format,
        tool: snapshot.tool.clone(),
        carried_histories: vec![carried.clone()],
        ..Manifest::new(carried.created, carried.index_read, lineage)
    }
}

/// The manifest of a history's newest bundle, as far as the snapshot states it. `None` if a position is outside of the
/// snapshot's tables; valid bundles cannot have that.
pub(super) fn carried_manifest(carried: &CarriedHistory, snapshot: &Manifest) -> Option<Manifest> {
    let (positions, files) = (&carried.crates, &carried.dist_files);
    // The snapshot's own record has the crate descriptions once.
    let crates = positions.iter().map(|at| {
        let one = snapshot.crates.get(*at as usize)?;
        let read = snapshot.line_read_at(one);
        Some(CrateRecord {
            yanked: one.yanked,
            read_at: (*read != carried.index_read).then(|| read.to_owned()),
            ..CrateRecord::new(one.id(), one.sha256, one.size, one.state)
        })
    });
    let artifacts = files.iter().map(|at| {
        let record = snapshot.dist_files.get(*at as usize)?;
        let read = snapshot.dist_file_read_at(record);
        // A rebuild must create the same record as the import of the snapshot.
        Some(DistFileRecord { read_at: (*read != carried.index_read).then(|| read.to_owned()), ..record.clone() })
    });
    // Positions of inputs that the bundle itself left out are dropped.
    let inputs = carried.lineage.inputs.iter().map(|input| Input {
        name: input.name.clone(),
        roots: input.roots.clone(),
        crates: remap_positions(positions, &input.crates),
        dist_files: remap_positions(files, &input.dist_files),
        skipped_packages: input.skipped_packages.clone(),
    });
    let Lineage { id, sequence, previous, .. } = &carried.lineage;
    let lineage = Lineage { id: id.clone(), sequence: *sequence, previous: previous.clone(), inputs: inputs.collect() };
    let manifest = history_manifest(carried.clone(), snapshot);
    Some(Manifest {
        crates: crates.collect::<Option<_>>()?,
        dist_files: artifacts.collect::<Option<_>>()?,
        lineage,
        carried_histories: Vec::new(),
        ..manifest
    })
}

/// The positions of `wanted` in `all`, which is ascending; missing ones are dropped.
fn remap_positions(all: &[u32], wanted: &[u32]) -> Vec<u32> {
    let place = |at: &u32| all.binary_search(at).ok().and_then(|at| u32::try_from(at).ok());
    wanted.iter().filter_map(place).collect()
}
