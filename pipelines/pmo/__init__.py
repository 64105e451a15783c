"""The parts of `pipelines.benchmark_pmo`: studies, methods and peers, one measured run, results, tables and plots."""
