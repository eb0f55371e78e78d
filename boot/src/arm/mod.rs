//! Door of the arm64 Image.
