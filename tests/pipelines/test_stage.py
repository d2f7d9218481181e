"""What the stages write for DVC to show."""

from pipelines import stage

METRICS = {
    "epochs": 3,
    "parameters": 10,
    "val/grip": 0.5,
    "test/grip": 0.25,
    "test/slips": 2.0,
    "val/grip/flat/thin": 0.75,
    "test/grip/flat/thin": 0.5,
    "test/grip/round": 1.0,
}


def test_the_headline_is_the_test_scores_that_the_task_names_and_the_size():
    assert stage.headline(METRICS, ["grip", "reach"]) == {"test/grip": 0.25, "parameters": 10}


def test_the_metrics_of_each_class_are_a_table():
    assert stage.per_class(METRICS).to_csv() == "class,val/grip,test/grip\nflat/thin,0.75,0.5\nround,,1.0\n"
    assert stage.per_class({"test/grip": 1.0}).empty
