//! Makes kernel images and OSnodes ready to run: what the loader and boot drivers share.

#![no_std]
#![forbid(unsafe_code)]
