"""Requests as a client would send them, for the OpenAPI document: one for each body."""

from collections.abc import Mapping
from typing import Any, Final

_FOX: Final = "a fox in the snow"
_MADE: Final = {"prompt": _FOX, "model": "flux-1.1", "width": 1024, "height": 768}
_REASON: Final = "asked for in a ticket"

EXAMPLES: Final[Mapping[str, Any]] = {
    "POST /api/jobs": {
        "provider": "ideogram",
        "prompt": _FOX,
        "providerOptions": {"aspect_ratio": "16:9", "num_images": 2},
    },
    "POST /api/quote": {"provider": "gemini", "prompt": _FOX},
    "POST /api/unified-generate": {"model": "gemini-2.5-flash-image", "prompt": _FOX},
    "POST /api/image/gemini": {
        "prompt": "the same fox, asleep",
        "model": "gemini-2.5-flash-image",
        "imageBase64": "data:image/png;base64,iVBORw0KGgo=",
        "providerOptions": {"aspectRatio": "1:1"},
    },
    "POST /api/image/{provider}": _MADE,
    "POST /api/video/{provider}": {
        "prompt": "the fox runs",
        "model": "gen4_turbo",
        "input_image": "https://api.example.com/assets/attempts/1.png",
        "providerOptions": {"ratio": "1280:720", "duration": 5},
    },
    "POST /api/flux/generate": {**_MADE, "model": "flux-pro-1.1", "useWebhook": False},
    "POST /api/flux/webhook": {"id": "task-1", "status": "Ready"},
    "POST /api/ideogram/generate": {"prompt": _FOX, "aspect_ratio": "16:9"},
    "POST /api/ideogram/edit": {"prompt": "a hat", "rendering_speed": "DEFAULT"},
    "POST /api/ideogram/reframe": {"resolution": "512x1536"},
    "POST /api/ideogram/replace-background": {"prompt": "a forest"},
    "POST /api/ideogram/upscale": {"resemblance": "60", "detail": "90"},
    "POST /api/ideogram/describe": {"model_version": "V_3"},
    "POST /api/qwen/image": {"prompt": _FOX, "size": "1328*1328"},
    "POST /api/qwen/image-edit": {"prompt": "make it night", "watermark": "false"},
    "POST /api/image/recraft/variate": {"size": "1024x1024", "n": "2"},
    "POST /v1/images/generations": {"model": "ideogram", "prompt": _FOX, "n": 2},
    "POST /v1/images/edits": {"model": "gemini-2.5-flash-image", "prompt": "make it night"},
    "POST /api/auth/signup": {"email": "ada@example.com", "password": "correct horse battery"},
    "POST /api/auth/login": {"email": "ada@example.com", "password": "correct horse battery"},
    "POST /api/auth/oauth-callback": {"accessToken": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"},
    "POST /api/auth/forgot-password": {"email": "ada@example.com"},
    "POST /api/auth/reset-password": {
        "token": "Zm94IGluIHRoZSBzbm93", "newPassword": "wrong horse battery",
    },
    "POST /api/auth/change-password": {
        "currentPassword": "correct horse battery", "newPassword": "wrong horse battery",
    },
    "PATCH /api/users/me": {"displayName": "Ada"},
    "POST /api/users/me/profile-picture": {
        "base64Data": "data:image/png;base64,iVBORw0KGgo=", "mimeType": "image/png",
    },
    "DELETE /api/users/me": {"password": "correct horse battery"},
    "POST /api/stream-tickets": {"stream": "/api/events"},
    "POST /api/keys": {"name": "a studio", "scopes": ["read", "generate"]},
    "POST /api/admin/price-books": {
        "name": "autumn",
        "operations": {
            "image": 1, "edit": 1, "describe": 1, "variate": 1, "vectorise": 1, "background": 1,
            "upscale": 2, "video": 5,
        },
    },
    "POST /api/admin/users/{user_id}/ban": {"reason": _REASON},
    "POST /api/admin/users/{user_id}/unban": {"reason": _REASON},
    "PUT /api/admin/limits/{kind}/{subject}": {"perMinute": 120, "reason": _REASON},
    "PUT /api/admin/limits/{kind}/{subject}/throttle": {
        "perMinute": 6, "seconds": 3_600, "reason": _REASON,
    },
    "POST /api/admin/dead-letters/gateway/{parked_id}/redrive": {"dryRun": True},
    "POST /api/admin/dead-letters/gateway/{parked_id}/discard": {
        "reason": _REASON, "dryRun": True,
    },
    "POST /api/admin/accounts/{account_id}/deductions": {"credits": 5, "reason": _REASON},
}  # fmt: skip


def add_examples(document: dict[str, Any]) -> None:
    """Put each request's example into the document."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            example = EXAMPLES.get(f"{method.upper()} {path}")
            for media in operation.get("requestBody", {}).get("content", {}).values():
                if example is not None:
                    media.setdefault("example", example)
