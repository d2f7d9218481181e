import json

from benchmarks import run
from pipelines import generated_text


def test_the_page_shows_the_committed_results():
    results = json.loads((run.HERE / "results.json").read_text())
    assert generated_text.read(run.PAGE, "benchmarks") == run.markdown(results)
