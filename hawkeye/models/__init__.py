"""The model: video encoder, Q-Former, language model, and what feeds them."""

from hawkeye.models.configuration import HawkEyeConfig, UMTConfig
from hawkeye.models.hawkeye import HawkEye, HawkEyeOutput
from hawkeye.models.processing import HawkEyeProcessor

__all__ = ["HawkEye", "HawkEyeConfig", "HawkEyeOutput", "HawkEyeProcessor", "UMTConfig"]
