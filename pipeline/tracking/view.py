"""The chart view of an experiment: accuracy against synthetic_percent, seeds grouped.

MLflow's page reads it from an experiment tag whose format is its own; a version that reads it otherwise shows
its plain list of runs.
"""

import json
from typing import Any

from pipeline.tracking.execution import Execution
from pipeline.tracking.store import CURVE, Parent

KEY = "bypercent"
AXIS = "synthetic_percent"
RAW = {"xAxisKey": "step", "useGlobalXaxisKey": False, "lineSmoothness": 0, "useGlobalLineSmoothing": False}
SECTION = {"uuid": "cells", "name": "Cells", "display": True, "columns": 2, "cardHeight": 300}


def pin_view(parent: Parent) -> None:
    """Points the experiment's chart view at this execution, or at all executions of its sweep."""
    state = json.dumps(_state(parent.execution))
    parent.client.set_experiment_tag(parent.experiment.id, f"mlflow.sharedViewState.{KEY}", state)


def view_url(server: str, experiment_id: str) -> str:
    """Address that opens the chart view on `server`."""
    mode = "workflowType=machine_learning"
    page = f"experiments/{experiment_id}/runs?viewStateShareKey={KEY}&compareRunsMode=CHART&{mode}"
    return f"{server.rstrip('/')}/?{mode}#/{page}"


def _state(execution: Execution) -> dict[str, Any]:
    """The page's state: cells of the ablation, grouped by percent and a sweep's value, and four charts."""
    groups = [{"mode": "param", "groupByData": AXIS}]
    shown = f"tags.`pipeline.execution` = '{execution.name}'"
    if execution.sweep:
        groups.append({"mode": "tag", "groupByData": "pipeline.axis_value"})
        shown = f"tags.`pipeline.sweep` = '{execution.sweep}'"
    return {
        "searchFilter": f"{shown} and tags.`pipeline.curve` = 'ablation'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": [f"params.`{AXIS}`", "params.`seed`", "metrics.`test_accuracy`"],
        "groupBy": {"aggregateFunction": "average", "groupByKeys": groups},
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [SECTION],
        "compareRunCharts": [
            _chart("LINE", metricKey=CURVE[0], selectedMetricKeys=CURVE),  # of the parent, whose steps are percents
            _chart("BAR", metricKey="test_accuracy"),
            _chart("LINE", metricKey="val_accuracy"),
            _chart("LINE", metricKey="train_loss"),
        ],
    }


def _chart(kind: str, metricKey: str, **more: Any) -> dict[str, Any]:  # noqa: N803 - the page's word
    place = {"uuid": metricKey, "metricSectionId": SECTION["uuid"], "runsCountToCompare": 100}
    return {"type": kind, "metricKey": metricKey, **more, **place} | (RAW if kind == "LINE" else {})
