"""Where a face lies: the five key points, the similarity that aligns them, and a warp that gradients pass through.

Key points are always, as seen in the picture: left eye, right eye, nose tip, left and right corner of the mouth. Pixel
coordinates are (x, y) with the centre of the first pixel at 0, as in insightface and OpenCV.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ALIGNED = 112
"""Side of an aligned face, pixels."""

TEMPLATE = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) key points of an aligned face, pixels (the ArcFace template of `insightface.utils.face_align`)."""

MIRRORED = [1, 0, 2, 4, 3]
"""Which key point becomes which in a mirrored picture."""

FACE_CENTRE = torch.tensor([56.0, 62.0])
FACE_RADII = torch.tensor([43.0, 56.0])
"""The ellipse that a face fills in the aligned crop, forehead to chin and ear to ear, pixels."""


def similarity(points: Tensor, target: Tensor) -> Tensor:
    """The scaling, turn and shift that bring `points` nearest to `target`, in the least-squares sense.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991). In the plane,
    and without mirroring, his solution is a division of complex numbers, and needs no singular values.

    Args:
        points: (n, k, 2) of k >= 2 different points.
        target: (n, k, 2) or (k, 2).

    Returns:
        (n, 2, 3), to be multiplied by (x, y, 1).
    """
    origin, goal = points.mean(dim=-2), target.mean(dim=-2)
    p, q = points - origin[..., None, :], target - goal[..., None, :]
    size = p.square().sum(dim=(-2, -1))
    along = (p * q).sum(dim=(-2, -1)) / size
    across = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(dim=-1) / size
    turn = torch.stack([along, -across, across, along], dim=-1).reshape(-1, 2, 2)
    return torch.cat([turn, goal[..., None] - turn @ origin[..., None]], dim=-1)


def compose(first: Tensor, then: Tensor) -> Tensor:
    """The (n, 2, 3) transform that does `first` and `then` `then`."""
    linear = then[..., :2] @ first[..., :2]
    return torch.cat([linear, then[..., :2] @ first[..., 2:] + then[..., 2:]], dim=-1)


def inverse(matrix: Tensor) -> Tensor:
    """The (n, 2, 3) transform that undoes `matrix`."""
    linear = torch.linalg.inv(matrix[..., :2])
    return torch.cat([linear, -linear @ matrix[..., 2:]], dim=-1)


def move(points: Tensor, matrix: Tensor) -> Tensor:
    """(n, k, 2) points moved by (n, 2, 3) transforms."""
    return points @ matrix[..., :2].mT + matrix[..., 2][..., None, :]


def warp(photos: Tensor, matrix: Tensor, side: int) -> Tensor:
    """Move pictures by (n, 2, 3) transforms in pixels, as `cv2.warpAffine` does: bilinear, and 0 outside the picture.

    Args:
        photos: (n, c, h, w), any range.
        matrix: from pixels of the photo to pixels of the result.
        side: of the result.

    Returns:
        (n, c, side, side), differentiable in `photos`.
    """
    n, channels, height, width = photos.shape
    # affine_grid goes from the result to the photo, and both in [-1, 1] from edge to edge.
    to_photo = compose(_from_unit(side, side).to(matrix), inverse(matrix))
    back = compose(to_photo, inverse(_from_unit(width, height).to(matrix)))
    grid = F.affine_grid(back, [n, channels, side, side], align_corners=False)
    # In the grid's precision: bf16 could not even number the pixels of a large photo.
    warped = F.grid_sample(photos.to(grid), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return warped.to(photos.dtype)


def _from_unit(width: int, height: int) -> Tensor:
    """(2, 3) from [-1, 1] to pixels."""
    return torch.tensor([[width / 2, 0.0, (width - 1) / 2], [0.0, height / 2, (height - 1) / 2]])


def align(photos: Tensor, points: Tensor, side: int = ALIGNED) -> Tensor:
    """Aligned faces, as `insightface.utils.face_align.norm_crop` cuts them.

    Args:
        photos: (n, 3, h, w), any range.
        points: (n, 5, 2) key points in pixels; gradients reach the photos, not the points.
        side: of the result, pixels.

    Returns:
        (n, 3, side, side), 0 where the photo ends.
    """
    return warp(photos, similarity(points.detach(), TEMPLATE.to(points) * side / ALIGNED), side)


def face_box(points: Tensor) -> Tensor:
    """Boxes around faces, forehead to chin: those of the template's ellipse, brought to the key points.

    Args:
        points: (n, 5, 2) key points in pixels.

    Returns:
        (n, 4) left, top, right, bottom in pixels; may reach outside the picture.
    """
    to_photo = inverse(similarity(points, TEMPLATE.to(points)))
    centre = move(FACE_CENTRE.to(points).expand(len(points), 1, 2), to_photo)[:, 0]
    radii = (to_photo[..., :2] * FACE_RADII.to(points)).norm(dim=-1)
    return torch.cat([centre - radii, centre + radii], dim=-1)
