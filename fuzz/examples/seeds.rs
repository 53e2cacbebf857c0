//! Writes the seed corpus, `corpus/TARGET/NAME`, from what honest and crafted peers say. Run it in the folder `fuzz`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (target, seeds) in archipel_fuzz::TARGETS {
        let folder = Path::new("corpus").join(target);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let seeds = seeds();
        println!(
            "{target}: {} seeds, {} bytes",
            seeds.len(),
            seeds.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
        );
        for (name, bytes) in seeds {
            fs::write(folder.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")), bytes)?;
        }
    }
    Ok(())
}
