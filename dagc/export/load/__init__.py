"""Exports of a simulation of requests: pictures as SVG, a row of CSV for each request."""
