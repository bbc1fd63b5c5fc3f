"""The package as colcon builds it."""

from setuptools import setup

setup(
    name="crossplace_ros",
    version="0.1.0",
    packages=["crossplace_ros"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/crossplace_ros"]),
        ("share/crossplace_ros", ["package.xml"]),
    ],
    license="MIT",
    entry_points={"console_scripts": ["localizer = crossplace_ros.node:main"]},
)
