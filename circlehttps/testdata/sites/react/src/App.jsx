import React from 'react';

export default () => (
	<div xmp-personalized-controller="">
		<p>It's spring, don't wait</p>
		<img src="http://www.example.com/logo.png" alt="it's" />
		<form xmp-register=""><input xmp-write-ador="xmp.r['Email']" /></form>
		<a href="http://www.example.com/">{'home'}</a>
	</div>
);
