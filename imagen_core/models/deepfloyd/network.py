"""diffusers' UNet2DConditionModel as the engine's Network: it gets a timestep, and works in its own dtype and place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...diffusion.augmentation import aug_timestep
from ...diffusion.schedules import timestep_of
from ...files import hub
from ...types import StageSpec, TextEmbedding, UserError

# How many texts' projections are kept. One run has two texts: both branches of guidance as one batch, and the
# conditional branch alone where w is 1. They stay on the GPU and grow with the network and the number of pictures.
TEXTS = 2


class DiffusersUNet:
    """A U-Net that ``load`` makes when it is first needed, after the text encoder has left the memory.

    The sampler's state stays float32 on its device. Only this class casts and moves it.
    """

    def __init__(self, spec: StageSpec, load: Callable[[], Any]) -> None:
        self.spec, self._load = spec, load
        self._unet: Any = None
        self._lock = threading.Lock()
        self._prepared: deque[tuple[Tensor, Tensor]] = deque(maxlen=TEXTS)

    @property
    def unet(self) -> Any:
        """The network, loaded now if it is not there yet."""
        with self._lock:
            if self._unet is None:
                with enough_memory():
                    self._unet = once_a_text(self._load())
        return self._unet

    def prepare(self, text: TextEmbedding) -> Tensor:
        """The tokens [b, n, d] on the network's device and in its dtype; IF reads all of them, padding too.

        The same text gives the same tensor object, so that runs side by side share its projections.
        """
        unet = self.unet
        with self._lock:
            for tokens, context in self._prepared:
                if torch.equal(tokens, text.tokens):
                    return context
            context = text.tokens.to(_device(unet), unet.dtype)
            self._prepared.append((text.tokens, context))
        return context

    def __call__(
        self,
        z: Tensor,
        log_snr: Tensor,
        context: Tensor,
        low_res: Tensor | None = None,
        aug_level: Tensor | None = None,
    ) -> Tensor:
        """The raw prediction, with the learned variance behind it where the stage has one; float32, on z's device."""
        unet = self.unet
        x = z if low_res is None else torch.cat([z, low_res], dim=1)
        timestep = timestep_of(self.spec.schedule, log_snr).to(context.device)
        labels = None if aug_level is None else aug_timestep(aug_level).to(context.device)
        with enough_memory(self.spec.name):
            (out,) = unet(x.to(context.device, context.dtype), timestep, context, labels, return_dict=False)
        channels = self.spec.channels * (2 if self.spec.learned_variance else 1)
        return out[:, :channels].float().to(z.device)


@contextmanager
def enough_memory(stage: str = "") -> Iterator[None]:
    """Turn running out of memory into one line that names the stage, if any, and the options to change.

    Raises:
        UserError: the memory is too small.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"model: {stage and f'{stage} is '}out of memory; try --dtype float16 (or bfloat16), --eight-bit, fewer "
            "pictures, or --device auto, which spreads a network over GPU, memory and disk"
        ) from error


def from_folder(kind: Any, folder: Path, variant: str | None, **options: Any) -> Any:
    """A network of diffusers or transformers from a folder's safetensors, every weight of it.

    Raises:
        UserError: its config.json leads to other files or does not fit it, or it does not fit into the memory.
    """
    config = hub.read_json(folder.parent, f"{folder.name}/config.json")
    # Both libraries would read the files that these name instead of the checked weights.
    if "transformers_weights" in config or (folder / "adapter_config.json").exists():
        raise UserError(f"model: {folder} asks for weights beside its own; not loaded")
    if variant:
        options["variant"] = variant
    try:
        with enough_memory():
            network, info = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
            )
    except UserError:
        raise
    except Exception as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"model: {folder} cannot be loaded ({why:.200})") from error
    wrong = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if wrong:
        raise UserError(f"model: the weights in {folder} do not fit its config.json (first at {wrong[0]:.100})")
    return network.eval().requires_grad_(False)


def once_a_text(unet: Any) -> Any:
    """Cache what depends on the text alone, for the last TEXTS texts: it is computed once a text, not once a step.

    That is the text's projection, its pooled share of the time embedding, and its keys and values in every attention.
    Tensors hash by identity, so a cached result belongs to exactly that context.
    """
    for module in (unet.encoder_hid_proj, unet.add_embedding if unet.config.addition_embed_type == "text" else None):
        if module is not None:
            module.forward = lru_cache(TEXTS)(module.forward)
    for attention in unet.modules():
        projections: tuple[Any, ...] = ()
        if getattr(attention, "added_kv_proj_dim", None):
            # IF's text keys and values join those of self-attention, as Imagen's do.
            attention.norm_encoder_hidden_states = lru_cache(TEXTS)(attention.norm_encoder_hidden_states)
            projections = (attention.add_k_proj, attention.add_v_proj)
        elif getattr(attention, "is_cross_attention", False):
            projections = (attention.to_k, attention.to_v)
        for projection in projections:
            projection.forward = lru_cache(TEXTS)(projection.forward)
    return unet


def _device(unet: Any) -> torch.device:
    """The device that a network computes on; a network that accelerate spread has a hook that says so."""
    hook = getattr(unet, "_hf_hook", None)
    return torch.device(getattr(hook, "execution_device", None) or unet.device)
