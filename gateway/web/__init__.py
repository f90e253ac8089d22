"""HTTP: adapters that translate between aiohttp and the pipeline's plain values. They decide nothing."""
