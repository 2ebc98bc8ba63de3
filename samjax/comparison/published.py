"""Scores of the paper, Dice in % (Cheng et al., SAM-Med2D, 2023, arXiv 2308.16184).

Table 4 has the weighted means that the authors later published in their repository as a correction.
"""

# Resolution; Bbox, 1 pt, 3 pts, 5 pts on 4.6 million masks.
TABLE_2 = {
    "SAM": ("256 x 256", (61.63, 18.94, 28.28, 37.47)),
    "SAM, large input": ("1024 x 1024", (74.49, 36.88, 42.00, 47.57)),
    "FT-SAM": ("256 x 256", (73.56, 60.11, 70.95, 75.51)),
    "SAM-Med2D": ("256 x 256", (79.30, 70.01, 76.35, 78.68)),
}

# 1 pt, and the gain by four more points: SAM at 256, FT-SAM, SAM-Med2D.
TABLE_3 = {
    "ct": ((20.87, 18.62), (67.91, 13.81), (77.34, 6.75)),
    "mr": ((15.25, 18.41), (46.36, 18.17), (57.16, 12.02)),
    "pet": ((15.12, 25.09), (59.58, 11.58), (78.58, 2.42)),
    "dermoscopy": ((58.01, 10.01), (83.86, 6.82), (87.69, 4.34)),
    "endoscopy": ((39.94, 13.84), (57.17, 20.56), (60.34, 12.13)),
    "fundus_photography": ((33.67, 28.50), (62.57, 14.62), (76.86, 6.51)),
    "histopathology": ((36.55, 31.92), (79.70, 7.99), (76.89, 4.31)),
    "microscopy": ((44.92, 15.05), (70.27, 13.63), (60.83, 13.50)),
    "ultrasound": ((15.89, 14.51), (55.05, 23.46), (74.81, 10.33)),
    "x_ray": ((23.40, 11.04), (44.06, 25.84), (64.30, 12.13)),
}

# Bbox and 1 pt on nine unseen datasets: SAM, SAM-Med2D* (adapters dropped), SAM-Med2D.
TABLE_4 = {"SAM": (73.49, 20.88), "SAM-Med2D*": (77.67, 34.30), "SAM-Med2D": (84.88, 76.63)}
