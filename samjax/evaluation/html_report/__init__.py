"""The report as one HTML file that needs no network and runs no script: `report.html`."""
