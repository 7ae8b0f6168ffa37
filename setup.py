"""Package metadata of yourlabs."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).parent

setup(
    name="yourlabs",
    version="2.0.0",
    description="Run functions continuously in a Django project, without a broker",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The yourlabs authors",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    packages=find_namespace_packages(include=["yourlabs", "yourlabs.*"]),
    include_package_data=True,
    python_requires=">=3.10",
    install_requires=["Django>=5.2,<6.2", "blinker>=1.8", "asgiref>=3.9"],
    extras_require={
        "tasks": ["django-tasks-db>=0.13", "django-tasks>=0.12"],
        "apprise": ["apprise>=1.9"],
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Web Environment",
        "Framework :: Django",
        "Framework :: Django :: 5.2",
        "Framework :: Django :: 6.0",
        "Framework :: Django :: 6.1",
        "Intended Audience :: Developers",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)
