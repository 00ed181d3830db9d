"""Requests as a client would send them, and answers to them, for the OpenAPI document."""

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
    "POST /api/auth/oauth-callback": {"access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"},
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
    "POST /api/upload/proxy-image": {"url": "https://example.com/fox.png"},
    "DELETE /api/users/me": {"password": "correct horse battery"},
    "POST /api/stream-tickets": {"stream": "/api/events"},
    "POST /api/webhooks": {"url": "https://studio.example.com/daygen", "events": ["job.completed"]},
    "PATCH /api/webhooks/{webhook_id}": {"enabled": True},
    "POST /api/webhooks/{webhook_id}/rotate": {"overlapSeconds": 3_600},
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


_JOB: Final = "019a3b5c-7d1e-7f00-8a2b-5c6d7e8f9a0b"
_URL: Final = f"https://api.example.com/assets/attempts/{_JOB}/1.png"
_PNG: Final = "iVBORw0KGgo="
_NAMES: Final = {"provider": "ideogram", "model": "ideogram"}
_MODEL: Final = {
    "id": "ideogram",
    "object": "model",
    "created": 1_759_276_800,
    "owned_by": "ideogram",
}

# Answers by the name of their schema, for the routes that make pictures.
ANSWERS: Final[Mapping[str, Any]] = {
    "AcceptedBody": {"jobId": _JOB, "status": "PENDING"},
    "GeneratedBody": {
        "success": True, "jobId": _JOB, "status": "completed", **_NAMES, "mimeType": "image/png",
        "contentType": "image/png", "imageBase64": None, "dataUrl": _URL, "dataUrls": [_URL],
        "images": [_URL],
    },
    "JobBody": {
        "id": _JOB, "jobId": _JOB, "type": "IMAGE_GENERATION", "operation": "image", **_NAMES,
        "prompt": _FOX, "status": "COMPLETED", "stage": "completed", "progress": 100,
        "resultUrl": _URL, "error": None, "errorCode": None,
        "metadata": {
            "stage": "completed", "mimeType": "image/png", "fileUrl": _URL, "r2FileUrl": _URL,
            "url": _URL, "r2FileId": _JOB, "results": [_URL], "seed": 7, "texts": [],
            "images": [
                {
                    "url": _URL, "contentType": "image/png", "sizeBytes": 1_482_113,
                    "width": 1024, "height": 1024, "sha256": "9f86d081" * 8,
                }
            ],
        },
        "credits": {"held": 1, "charged": 1, "unit": 1, "units": 1, "priceBookVersion": 1},
        "createdAt": "2026-11-21T10:00:00Z", "deadlineAt": "2026-11-21T10:10:00Z",
        "finishedAt": "2026-11-21T10:00:09Z",
        "queuePosition": None,
        "etaSeconds": None,
    },
    "QueuedBody": {
        "id": _JOB, "pollingUrl": f"https://api.example.com/api/jobs/{_JOB}",
        "model": "flux-pro-1.1", "status": "queued",
    },
    "ResultBody": {
        "id": _JOB, "status": "Ready", "progress": 100, "result": {"sample": _URL, "seed": 7},
        "error": None, "pollingUrl": f"https://api.example.com/api/jobs/{_JOB}",
        "timestamp": "2026-11-21T10:00:09Z",
    },
    "DownloadBody": {"dataUrl": f"data:image/png;base64,{_PNG}", "contentType": "image/png"},
    "ProbeBody": {"ok": True, "models": ["flux-1.1", "flux-pro-1.1"]},
    "PicturesBody": {"dataUrls": [_URL], "mimeType": "image/png", "jobId": _JOB},
    "DescriptionsBody": {"descriptions": [{"text": _FOX}], "jobId": _JOB},
    "PictureBody-Output": {
        "dataUrl": _URL, "contentType": "image/png", "jobId": _JOB,
        "usage": {"image_count": 1, "width": 1328, "height": 1328},
    },
    "VariantsBody": {
        "items": [
            {
                "url": _URL, "prompt": None, "model": "recraft", "mimeType": "image/png",
                "r2FileId": _JOB, "r2FileUrl": _URL,
            }
        ],
        "dataUrls": [_URL], "jobId": _JOB,
    },
    "ImagesObject": {
        "created": 1_795_168_809,
        "data": [{"b64_json": _PNG, "url": _URL, "revised_prompt": None}],
    },
    "ModelObject": _MODEL,
    "ModelsObject": {"object": "list", "data": [_MODEL]},
}  # fmt: skip


def add_examples(document: dict[str, Any]) -> None:
    """Put each request's example into the document, and those of answers."""
    for name, example in ANSWERS.items():
        document["components"]["schemas"][name].setdefault("example", example)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            example = EXAMPLES.get(f"{method.upper()} {path}")
            for media in operation.get("requestBody", {}).get("content", {}).values():
                if example is not None:
                    media.setdefault("example", example)
