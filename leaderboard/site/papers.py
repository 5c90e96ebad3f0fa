"""The papers of the methods that come with the project, for those who cite them: the first authors, the title, where.

A card says of a method where it was published and not by whom. It is completed here only where it speaks of the same
paper: somebody else's method of the same name is not credited to others.
"""

from __future__ import annotations

from typing import NamedTuple


class Paper(NamedTuple):
    """A paper, as its method's file cites it.

    Attributes:
        names: what the method's card calls it, before the colon.
        authors: as BibTeX has them; the first alone with "and others".
        title: in sentence case.
        year: of publication.
        arxiv: its number; "" for none.
    """

    names: tuple[str, ...]
    authors: str
    title: str
    year: str
    arxiv: str = ""


PAPERS = {
    "ace": Paper(
        ("ACE",),
        "Zheng and others",
        "Targeted attack improves protection against unauthorized diffusion customization",
        "2025",
        "2310.04687",
    ),
    "adapter_shield": Paper(
        ("Adapter Shield",),
        "Jia and others",
        "Adapter Shield: a unified framework with built-in authentication for preventing unauthorized zero-shot "
        "image-to-image generation",
        "2026",
        "2512.00075",
    ),
    "advdm": Paper(("AdvDM",), "Liang and others", "Adversarial example does good", "2023", "2302.04578"),
    "antidiffusion": Paper(
        ("Anti-Diffusion",),
        "Zheng and others",
        "Anti-Diffusion: preventing abuse of modifications of diffusion-based models",
        "2025",
        "2503.05595",
    ),
    "antidreambooth": Paper(
        ("Anti-DreamBooth (ASPL)", "Anti-DreamBooth (FSMG)"),
        "Le, Thanh Van and others",
        "Anti-DreamBooth: protecting users from personalized text-to-image synthesis",
        "2023",
        "2303.15433",
    ),
    "antipure": Paper(
        ("AntiPure",),
        "Yang and others",
        "Towards robust defense against customization via protective perturbation resistant to diffusion-based "
        "purification",
        "2025",
        "2509.13922",
    ),
    "caat": Paper(
        ("CAAT",), "Xu and others", "Perturbing attention gives you more bang for the buck", "2024", "2404.15081"
    ),
    "decontext": Paper(
        ("DeContext",),
        "Shen and others",
        "DeContext as defense: safe image editing in diffusion transformers",
        "2025",
        "2512.16625",
    ),
    "diffusionguard": Paper(
        ("DiffusionGuard",),
        "Choi and others",
        "DiffusionGuard: a robust defense against malicious diffusion-based image editing",
        "2025",
        "2410.05694",
    ),
    "disdiff": Paper(
        ("DisDiff",),
        "Liu and others",
        "Disrupting diffusion: token-level attention erasure attack",
        "2024",
        "2405.20584",
    ),
    "dladiff": Paper(
        ("DLADiff",),
        "Jia and others",
        "DLADiff: a dual-layer defense framework against fine-tuning and zero-shot customization of diffusion models",
        "2025",
        "2511.19910",
    ),
    "faceshield": Paper(
        ("FaceShield",),
        "Jeong and others",
        "FaceShield: defending facial image against deepfake threats",
        "2025",
        "2412.09921",
    ),
    "idguardian": Paper(
        ("IDGuardian",),
        "Xiong and others",
        "No way to steal my face: proactive defense against identity-preserving personalized generation",
        "2026",
    ),
    "idprotector_pgd": Paper(
        ("IDProtector (PGD)",),
        "Song and others",
        "IDProtector: an adversarial noise encoder to protect against ID-preserving image generation",
        "2025",
        "2412.11638",
    ),
    "metacloak": Paper(
        ("MetaCloak",),
        "Liu and others",
        "MetaCloak: preventing unauthorized subject-driven text-to-image diffusion-based synthesis via meta-learning",
        "2024",
        "2311.13127",
    ),
    "mist": Paper(
        ("Mist",),
        "Liang and Wu",
        "Mist: towards improved adversarial examples for diffusion models",
        "2023",
        "2305.12683",
    ),
    "photoguard": Paper(
        ("PhotoGuard",),
        "Salman and others",
        "Raising the cost of malicious AI-powered image editing",
        "2023",
        "2302.06588",
    ),
    "pid": Paper(
        ("PID",),
        "Li and others",
        "PID: prompt-independent data protection against latent diffusion models",
        "2024",
        "2406.15305",
    ),
    "sds": Paper(
        ("SDS",),
        "Xue and others",
        "Toward effective protection against diffusion-based mimicry through score distillation",
        "2024",
        "2311.12832",
    ),
    "simac": Paper(
        ("SimAC",),
        "Wang and others",
        "SimAC: a simple anti-customization method for protecting face privacy",
        "2024",
        "2312.07865",
    ),
    "dreambooth": Paper(
        ("DreamBooth",),
        "Ruiz and others",
        "DreamBooth: fine tuning text-to-image diffusion models for subject-driven generation",
        "2023",
        "2208.12242",
    ),
    "lora": Paper(
        ("LoRA",), "Hu and others", "LoRA: low-rank adaptation of large language models", "2022", "2106.09685"
    ),
    "textual_inversion": Paper(
        ("Textual Inversion",),
        "Gal and others",
        "An image is worth one word: personalizing text-to-image generation using textual inversion",
        "2023",
        "2208.01618",
    ),
    "ip_adapter": Paper(
        ("IP-Adapter",),
        "Ye and others",
        "IP-Adapter: text compatible image prompt adapter for text-to-image diffusion models",
        "2023",
        "2308.06721",
    ),
    "photomaker": Paper(
        ("PhotoMaker",),
        "Li and others",
        "PhotoMaker: customizing realistic human photos via stacked ID embedding",
        "2024",
        "2312.04461",
    ),
    "instantid": Paper(
        ("InstantID",),
        "Wang and others",
        "InstantID: zero-shot identity-preserving generation in seconds",
        "2024",
        "2401.07519",
    ),
    "kontext": Paper(
        ("FLUX.1 Kontext",),
        "Black Forest Labs",
        "FLUX.1 Kontext: flow matching for in-context image generation and editing in latent space",
        "2025",
        "2506.15742",
    ),
}
"""Method -> its paper; whatever other names it is registered under."""
_BY_NAME = {name: paper for paper in PAPERS.values() for name in paper.names}


def paper_of(name: str, where: str, year: str, arxiv: str) -> Paper | None:
    """The paper of what a card calls its method, if the card says nothing else of where it was published."""
    paper = _BY_NAME.get(name)
    agrees = paper is not None and (not where or (arxiv == paper.arxiv and (arxiv or year == paper.year)))
    return paper if agrees else None
