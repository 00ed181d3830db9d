"""From what is stored to what is shown."""

import math

from libs.events.generation import StoredImage
from libs.runtime.asset_addresses import AssetSigner
from services.gateway.api.bodies import (
    GeneratedBody,
    ImageBody,
    JobBody,
    JobCredits,
    JobMetadata,
    UserBody,
    type_of,
)
from services.gateway.domain.forecasts import Forecast
from services.gateway.domain.jobs import JobState, Status
from services.gateway.handlers.profiles import PREFIX
from services.gateway.store.accounts import User
from services.gateway.store.jobs import OwnJob


class UserViews:
    """Shows users, with the addresses of their pictures."""

    def __init__(self, pictures_at: str) -> None:
        self._pictures_at = pictures_at

    def user(self, user: User) -> UserBody:
        """A user, as they see themselves."""
        return UserBody(
            id=str(user.user_id),
            auth_user_id=str(user.user_id),
            email=user.email or "",
            display_name=user.display_name,
            credits=user.account.shown_credits,
            profile_image=self.picture(user),
            role=user.role.value,
            created_at=user.created_at,
            updated_at=user.updated_at,
        )

    def picture(self, user: User) -> str | None:
        """Where a user's picture is."""
        if user.profile_image is None:
            return None
        return f"{self._pictures_at}/{user.profile_image.removeprefix(PREFIX)}"


class JobViews:
    """Shows jobs, with the addresses of their pictures."""

    def __init__(self, assets_at: str, signer: AssetSigner) -> None:
        self._assets_at = assets_at
        self._signer = signer

    def job(self, job: OwnJob, state: JobState, forecast: Forecast | None = None) -> JobBody:
        """A job as it was in the given state."""
        remaining = forecast.remaining if forecast else None
        answer = state.answer
        is_completed = state.status is Status.COMPLETED
        metadata = self._metadata(state)
        has_failed = state.is_final and not is_completed and answer is not None
        return JobBody(
            id=job.job_id,
            job_id=job.job_id,
            type=type_of(job.operation),
            operation=job.operation,
            provider=job.provider,
            model=job.model,
            prompt=job.prompt,
            status=state.status.value,
            stage=state.stage.value,
            progress=state.progress,
            result_url=metadata.url if is_completed else None,
            error=answer.failure_message if has_failed and answer else None,
            error_code=answer.failure_code if has_failed and answer else None,
            metadata=metadata,
            credits=JobCredits(
                held=job.unit_credits * job.units,
                charged=state.charge.credits if state.charge else None,
                unit=job.unit_credits,
                units=job.units,
                price_book_version=job.price_book_version,
            ),
            created_at=job.created_at,
            deadline_at=job.deadline_at,
            finished_at=state.finished_at,
            queue_position=forecast.jobs_ahead if forecast else None,
            eta_seconds=None if remaining is None else math.ceil(remaining.total_seconds()),
        )

    def generated(self, job: OwnJob, image_base64: str | None) -> GeneratedBody:
        """A completed job, for a client that has waited for it."""
        images = job.state.shown_images
        urls = [self.url(image) for image in images]
        content_type = images[0].content_type if images else None
        return GeneratedBody(
            job_id=job.job_id,
            provider=job.provider,
            model=job.model,
            mime_type=content_type,
            content_type=content_type,
            image_base64=image_base64,
            data_url=urls[0] if urls else None,
            data_urls=urls,
            images=urls,
        )

    def _metadata(self, state: JobState) -> JobMetadata:
        answer, images = state.answer, state.shown_images
        if answer is None or state.listing is None:
            return JobMetadata(stage=state.stage.value)
        urls = [self.url(image) for image in images]
        first = urls[0] if urls else None
        item_ids = state.listing.item_ids
        return JobMetadata(
            stage=state.stage.value,
            mime_type=images[0].content_type if images else None,
            file_url=first,
            r2_file_url=first,
            url=first,
            r2_file_id=str(item_ids[0]) if item_ids else None,
            results=urls,
            images=[self._image(image) for image in images],
            texts=list(answer.texts),
            seed=answer.seed,
        )

    def _image(self, image: StoredImage) -> ImageBody:
        return ImageBody(
            url=self.url(image),
            content_type=image.content_type,
            size_bytes=image.size_bytes,
            width=image.width,
            height=image.height,
            sha256=image.sha256,
        )

    def url(self, image: StoredImage) -> str:
        """Where a picture is fetched: only who may see the job learns it, public or not."""
        return f"{self._assets_at}/{self.signed(image)}"

    def signed(self, image: StoredImage) -> str:
        """A picture's key with what lets one see it."""
        return self._signer.signed(image.key)
