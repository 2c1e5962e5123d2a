"""A report: one self-contained page on a model and on its predictions for documents with known labels."""

from xmc_jax.report.findings import Decision as Decision
from xmc_jax.report.findings import Findings as Findings
from xmc_jax.report.findings import Subject as Subject
from xmc_jax.report.findings import Worst as Worst
from xmc_jax.report.findings import choose_worst as choose_worst
from xmc_jax.report.findings import decide as decide
from xmc_jax.report.intervals import score_documents as score_documents
from xmc_jax.report.page import Page as Page
from xmc_jax.report.page import make_page as make_page
from xmc_jax.report.picture import Picture as Picture
