"""The columns that several tables print, each with one title; a table makes other columns itself."""

from __future__ import annotations

from benchmarks.quality.table import ALWAYS_ALARM, Column

ACCURACY = Column("accuracy", "accuracy")
F1 = Column("f1", "F1")
PRECISION = Column("precision", "precision")
RECALL = Column("recall", "recall")
FALSE_ALARMS = Column("false_alarms", "realised false alarms")
AUC = Column("auc", "ROC-AUC", ".4f")
AVERAGE_PRECISION = Column("average_precision", "AUC-PR", ".4f")
RECALL_1 = Column("recall_1", "recall at 1 %")
FALSE_ALARMS_1 = Column("false_alarms_1", "realised at 1 %")
BEST_F1 = Column("best_f1", "best F1 (saw the labels)")
ALWAYS = Column(ALWAYS_ALARM, 'F1 of "always alarm"')
MB_SENT = Column("mb_sent", "MB sent", ".2f")
AT_RATE = (F1, RECALL, FALSE_ALARMS, AUC, AVERAGE_PRECISION, RECALL_1, FALSE_ALARMS_1)
"""What `figures.at_rate` measures at a nominal false-alarm rate fixed beforehand, and at 1 % beside."""


def prefixed(column: Column, prefix: str, title: str) -> Column:
    """The same figure measured elsewhere: ``PREFIX_figure``, with a title of its own."""
    return Column(f"{prefix}_{column.figure}", title, column.style)
