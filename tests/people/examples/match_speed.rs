fn main() -> anyhow::Result<()> {
    let n: usize = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let (people, run) = people::speed::measure(n, 1)?;
    if let Some(work) = std::env::args().nth(2) { people::speed::against_splink(&people, &run, work.as_ref())?; }
    Ok(())
}
