"""Widgets of the course; each leaves a picture where it cannot run."""

from course_utils.widgets.views.activations import ActivationExplorer
from course_utils.widgets.views.architecture import ArchitectureExplorer
from course_utils.widgets.views.convolution import ConvolutionStepper
from course_utils.widgets.views.divergence import DistributionPair
from course_utils.widgets.views.flow import SignalFlow
from course_utils.widgets.views.graph import ComputationGraph
from course_utils.widgets.views.normcube import NormalizationCube
from course_utils.widgets.views.playground import Playground
from course_utils.widgets.views.race import OptimizerRace
from course_utils.widgets.views.reglab import RegularizationLab
from course_utils.widgets.views.schedule import ScheduleExplorer
from course_utils.widgets.views.stepper import PerceptronStepper
from course_utils.widgets.views.surface import LossSurface

__all__ = [
    "ActivationExplorer",
    "ArchitectureExplorer",
    "ComputationGraph",
    "ConvolutionStepper",
    "DistributionPair",
    "LossSurface",
    "NormalizationCube",
    "OptimizerRace",
    "PerceptronStepper",
    "Playground",
    "RegularizationLab",
    "ScheduleExplorer",
    "SignalFlow",
]
